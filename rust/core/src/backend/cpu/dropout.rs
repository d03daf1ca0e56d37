//! Dropout (Srivastava et al. 2014), with a mask for each step or one for all of a row's.

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::noise::choose;
use super::part::Part;
use super::scratch::Rows;
use crate::program::{Slot, SlotId};
use crate::rng::Kind;

/// The op; in a run without training its output is its input.
pub(super) struct Dropout {
    pub(super) input: Reach,
    pub(super) out: SlotId,
    pub(super) kind: Slot,
    pub(super) p: f64,
    pub(super) variational: bool,
    pub(super) site: u32,
}

impl Dropout {
    /// Calls `f` with every row's number and mask.
    fn each<T: Elementary>(
        &self,
        part: &Part<T>,
        mask: &mut Rows<T>,
        run: &Context<'_, T>,
        mut f: impl FnMut(usize, &[T]),
    ) {
        let stream = run.stream(Kind::Dropout, self.site as usize);
        let keep = 1.0 - self.p;
        let mask = &mut mask.data[..self.kind.width()];
        mask.fill(T::ONE);
        for (b, t, row) in part.places(self.kind) {
            if let Some(stream) = stream {
                let t = if self.variational { 0 } else { t };
                choose(run.isa, stream, [t, b], keep, 1.0 / keep, mask);
            }
            f(row, mask);
        }
    }
}

impl<T: Elementary> Local<T> for Dropout {
    /// The mask of one row.
    fn scratch(&self, _batch: usize, _rows: usize, lanes: usize) -> Vec<Rows<T>> {
        vec![Rows::new(0, 1, self.kind.width(), lanes)]
    }

    fn forward(&self, part: &mut Part<T>, own: &mut [Rows<T>], run: &Context<'_, T>) {
        part.with_slot(self.out, |part, out| {
            let x = &part.slots[self.input.slot];
            self.each(part, &mut own[0], run, |row, mask| {
                let products = x.at(row).iter().zip(mask).map(|(&x, &m)| x * m);
                out.at_mut(row).iter_mut().zip(products).for_each(|(out, x)| *out = x);
            });
        });
    }

    fn backward(&self, part: &mut Part<T>, own: &mut [Rows<T>], run: &Context<'_, T>) {
        part.with_gradient(self.input.slot, |part, dx| {
            let dy = &part.d_slots[self.out];
            self.each(part, &mut own[0], run, |row, mask| {
                let products = dy.at(row).iter().zip(mask).map(|(&d, &m)| d * m);
                self.input.put_row(dx.row_mut(row), products);
            });
        });
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
