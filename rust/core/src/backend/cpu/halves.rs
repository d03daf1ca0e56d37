//! The two halves of a step whose memory is normalised in between, there and back.

use super::math::Elementary;
use super::pointwise::{RowOp, Units};
use super::simd::Pack;
use crate::cells::{Lanes, State, Step};

/// The first half of a step with its memory normalised in between: c after the step.
pub(super) struct Memory<'a, T, C> {
    pub(super) cell: C,
    pub(super) prev_c: &'a [T],
    pub(super) next_c: &'a mut [T],
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for Memory<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let prev = State { h: Pack::ZEROS, c: Pack::load(&self.prev_c[at..]) };
        self.cell.memory(z, prev, &self.units.load(at)).store(&mut self.next_c[at..]);
    }
}

/// [`Memory`] backwards: `dc` goes from after the step to before it.
pub(super) struct MemoryBackward<'a, T, C> {
    pub(super) cell: C,
    pub(super) prev_c: &'a [T],
    pub(super) dc: &'a mut [T],
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for MemoryBackward<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let prev = State { h: Pack::ZEROS, c: Pack::load(&self.prev_c[at..]) };
        let dc = &mut self.dc[at..];
        self.cell.memory_backward(z, prev, Pack::load(dc), &self.units.load(at)).c.store(dc);
    }
}

/// The second half: h from the normalised memory.
pub(super) struct Emit<'a, T, C> {
    pub(super) cell: C,
    pub(super) seen: &'a [T],
    pub(super) h: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for Emit<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        self.cell.emit(z, Pack::load(&self.seen[at..])).store(&mut self.h[at..]);
    }
}

/// [`Emit`] backwards: `seen` is replaced by its gradient.
pub(super) struct EmitBackward<'a, T, C> {
    pub(super) cell: C,
    pub(super) seen: &'a mut [T],
    pub(super) dh: &'a [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for EmitBackward<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let seen = &mut self.seen[at..];
        self.cell.emit_backward(z, Pack::load(seen), Pack::load(&self.dh[at..])).store(seen);
    }
}
