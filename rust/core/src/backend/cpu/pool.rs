//! Pooling over time: one vector for each row from its steps.

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use crate::program::{Pooling, SlotId};

/// Single steps, the mean or the largest number; 0 for a row without steps.
pub(super) struct Pool {
    pub(super) input: Reach,
    pub(super) out: SlotId,
    pub(super) width: usize,
    pub(super) how: Pooling,
}

impl Pool {
    /// What comes from single steps of group row `i`: units from `.0` up to `.1`, and their row.
    fn taken<T: Elementary>(&self, part: &Part<T>, i: usize) -> [Option<(usize, usize, usize)>; 2] {
        let (half, steps) = (self.width / 2, part.group.lengths[i]);
        [(0, half), (half, self.width)].map(|(first, end)| {
            let step = self.how.step(steps, first, self.width).filter(|_| steps > 0 && first < end)?;
            Some((first, end, part.group.packed(i, step)))
        })
    }

    /// The first step of group row `i` that holds the largest number of unit `u`; NaN counts as larger.
    fn largest<T: Elementary>(part: &Part<T>, x: &Rows<T>, i: usize, u: usize) -> Option<usize> {
        let above = |a: T, b: T| a > b || a.partial_cmp(&a).is_none();
        part.group.of_row(i).reduce(|best, row| if above(x.at(row)[u], x.at(best)[u]) { row } else { best })
    }
}

impl<T: Elementary> Local<T> for Pool {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        part.with_slot(self.out, |part, out| {
            let x = &part.slots[self.input.slot];
            for i in 0..part.group.rows.len() {
                let to = &mut out.at_mut(i)[..self.width];
                to.fill(T::ZERO);
                match self.how {
                    Pooling::Mean => {
                        let share = share(part.group.lengths[i]);
                        for row in part.group.of_row(i) {
                            to.iter_mut().zip(x.at(row)).for_each(|(to, &x)| *to += x * share);
                        }
                    }
                    Pooling::Max => {
                        for (u, to) in to.iter_mut().enumerate() {
                            if let Some(row) = Self::largest(part, x, i, u) {
                                *to = x.at(row)[u];
                            }
                        }
                    }
                    _ => {
                        for (first, end, row) in self.taken(part, i).into_iter().flatten() {
                            to[first..end].copy_from_slice(&x.at(row)[first..end]);
                        }
                    }
                }
            }
        });
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        part.with_gradient(self.input.slot, |part, dx| {
            let (x, dy) = (&part.slots[self.input.slot], &part.d_slots[self.out]);
            if !self.input.adds {
                (0..part.group.len).for_each(|row| dx.row_mut(row).fill(T::ZERO));
            }
            for i in 0..part.group.rows.len() {
                let dy = &dy.at(i)[..self.width];
                let mut add_to = |row: usize, share: T| {
                    dx.at_mut(row).iter_mut().zip(dy).for_each(|(dx, &d)| *dx += d * share);
                };
                match self.how {
                    Pooling::Mean => {
                        let share = share(part.group.lengths[i]);
                        part.group.of_row(i).for_each(|row| add_to(row, share));
                    }
                    Pooling::Max => {
                        for (u, &d) in dy.iter().enumerate() {
                            if let Some(row) = Self::largest(part, x, i, u) {
                                dx.at_mut(row)[u] += d;
                            }
                        }
                    }
                    _ => {
                        for (first, end, row) in self.taken(part, i).into_iter().flatten() {
                            let to = dx.at_mut(row)[first..end].iter_mut();
                            to.zip(&dy[first..end]).for_each(|(dx, &d)| *dx += d);
                        }
                    }
                }
            }
        });
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}

fn share<T: Elementary>(steps: usize) -> T {
    T::ONE / T::from_f64(steps.max(1) as f64)
}
