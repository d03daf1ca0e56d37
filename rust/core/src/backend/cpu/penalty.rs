//! Penalties on activations (Merity et al. 2017): α mean x² + β mean (x⟨t⟩ − x⟨t−1⟩)².

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;

/// The op. Its value is added to the group's penalty in the forward run of a training step.
pub(super) struct Penalty {
    pub(super) input: Reach,
    pub(super) width: usize,
    pub(super) activation: f64,
    pub(super) temporal: f64,
}

impl Penalty {
    /// Each factor over the number of terms of its mean.
    fn shares<T: Elementary>(&self, run: &Context<'_, T>) -> [T; 2] {
        [(self.activation, run.steps), (self.temporal, run.pairs)]
            .map(|(factor, n)| T::from_f64(factor / (n * self.width).max(1) as f64))
    }
}

impl<T: Elementary> Local<T> for Penalty {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        if run.training.is_none() {
            return;
        }
        let ([activation, temporal], x) = (self.shares(run), &part.slots[self.input.slot]);
        let (mut squares, mut changes) = (T::ZERO, T::ZERO);
        for i in 0..part.group.rows.len() {
            let mut before: Option<&[T]> = None;
            for row in part.group.of_row(i) {
                let now = &x.at(row)[..self.width];
                squares += now.iter().fold(T::ZERO, |sum, &x| sum + x * x);
                if let Some(before) = before {
                    changes += now.iter().zip(before).fold(T::ZERO, |sum, (&a, &b)| sum + (a - b) * (a - b));
                }
                before = Some(now);
            }
        }
        part.penalty += squares * activation + changes * temporal;
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        let [activation, temporal] = self.shares(run).map(|share| share + share);
        part.with_gradient(self.input.slot, |part, dx| {
            let x = &part.slots[self.input.slot];
            for i in 0..part.group.rows.len() {
                let steps = part.group.lengths[i];
                for s in 0..steps {
                    let row = part.group.packed(i, s);
                    let neighbours = [s.checked_sub(1), Some(s + 1).filter(|&s| s < steps)];
                    let slope = |u: usize| {
                        let x_here = x.at(row)[u];
                        let changes = neighbours
                            .iter()
                            .flatten()
                            .fold(T::ZERO, |sum, &s| sum + (x_here - x.at(part.group.packed(i, s))[u]));
                        activation * x_here + temporal * changes
                    };
                    self.input.put_row(dx.row_mut(row), (0..self.width).map(slope));
                }
            }
        });
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
