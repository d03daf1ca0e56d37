//! A non-linearity of every number: y = f(x).

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use super::simd::{Pack, Task};
use crate::cells::{Activation, Nonlinear};
use crate::program::{Slot, SlotId};

/// The op.
pub(super) struct Activate {
    pub(super) input: Reach,
    pub(super) out: SlotId,
    pub(super) kind: Slot,
    pub(super) activation: Activation,
}

/// Whole registers of numbers through the function.
struct Apply<'a, T> {
    activation: Activation,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Elementary> Task<T> for Apply<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        for (x, y) in self.x.chunks_exact(L).zip(self.y.chunks_exact_mut(L)) {
            self.activation.apply(Pack::<T, L>::load(x)).store(y);
        }
    }
}

impl<T: Elementary> Local<T> for Activate {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        part.with_slot(self.out, |part, out| {
            let x = &part.slots[self.input.slot];
            let used = part.len(self.kind) * out.stride;
            run.isa.run(Apply {
                activation: self.activation,
                x: &x.at(0)[..used],
                y: &mut out.at_mut(0)[..used],
            });
        });
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        part.with_gradient(self.input.slot, |part, dx| {
            let (dy, y, width) = (&part.d_slots[self.out], &part.slots[self.out], self.kind.width());
            for row in 0..part.len(self.kind) {
                let slopes = y.at(row)[..width].iter().map(|&y| self.activation.slope(Pack([y])).0[0]);
                self.input
                    .put_row(dx.row_mut(row), dy.at(row).iter().zip(slopes).map(|(&d, slope)| d * slope));
            }
        });
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}
