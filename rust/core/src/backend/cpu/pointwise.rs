//! A cell's step over the rows of one unit block: the part of a layer that is not a product.

use super::math::Elementary;
use super::simd::{Isa, Pack, Task, fetch};
use crate::cells::{Lanes, State, Step, Unit};

/// What is done to one row of a unit block: `z` are its slots, and `at` is where the row begins in
/// every other slice, which starts at the block's first unit.
pub(super) trait RowOp<T: Elementary, const S: usize> {
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize);
    /// Whether a second round follows once all rows are done. A processor overlaps more rows where what has to be
    /// done one after the other in each is short.
    const AGAIN: bool = false;
    fn again<const L: usize>(&mut self, _z: &[Pack<T, L>; S], _at: usize) {}
    /// Asks for numbers that the same row of the next unit block, from `at` on, will be the first to need.
    fn fetch<const L: usize>(&self, _at: usize) {}
}

/// Calls `op` on the first `rows` rows of a unit block: `z` has S·L numbers a row, other slices
/// have theirs `stride` apart.
pub(super) fn each_row<T: Elementary, const S: usize>(
    isa: Isa,
    rows: usize,
    stride: usize,
    z: &mut [T],
    op: impl RowOp<T, S>,
) {
    isa.run(EachRow { rows, stride, z, next: &[], op });
}

/// The same for a unit block that begins at `first` of `z`; that of the next, `apart` from it, is fetched, too.
pub(super) fn each_row_fetching<T: Elementary, const S: usize>(
    isa: Isa,
    rows: usize,
    stride: usize,
    (z, first, apart): (&mut [T], usize, usize),
    op: impl RowOp<T, S>,
) {
    let z = &mut z[first..];
    let (z, next) = z.split_at_mut(apart.min(z.len()));
    isa.run(EachRow { rows, stride, z, next, op });
}

struct EachRow<'a, T, O, const S: usize> {
    rows: usize,
    stride: usize,
    z: &'a mut [T],
    /// From where the next unit block begins, or nothing.
    next: &'a [T],
    op: O,
}

impl<T: Elementary, O: RowOp<T, S>, const S: usize> Task<T> for EachRow<'_, T, O, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(mut self) {
        debug_assert!(self.rows * S * L <= self.z.len(), "{} rows", self.rows);
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            fetch(self.next, r * S * L..(r + 1) * S * L);
            self.op.fetch::<L>(r * self.stride + L);
            let mut z: [Pack<T, L>; S] = std::array::from_fn(|s| Pack::load(&line[s * L..]));
            self.op.row(&mut z, r * self.stride);
            // By reference: an array that is taken apart lies in memory first, and is read from there again
            // before it has arrived.
            for (s, z) in z.iter().enumerate() {
                z.store(&mut line[s * L..]);
            }
        }
        if O::AGAIN {
            for (r, line) in self.z.chunks_exact(S * L).take(self.rows).enumerate() {
                self.op.again(&std::array::from_fn(|s| Pack::<T, L>::load(&line[s * L..])), r * self.stride);
            }
        }
    }
}

/// What the units of a block know beside their state: peephole weights (or nothing), and a row of
/// candidate masks for each row (or nothing).
#[derive(Clone, Copy)]
pub(super) struct Units<'a, T> {
    pub(super) peephole: [&'a [T]; 3],
    pub(super) candidate: &'a [T],
}

impl<T: Elementary> Units<'_, T> {
    #[inline(always)]
    pub(super) fn load<const L: usize>(&self, at: usize) -> Unit<Pack<T, L>> {
        let peephole = self.peephole.map(|p| load_or(p, 0, Pack::ZEROS));
        Unit { peephole, candidate: load_or(self.candidate, at, Pack::ONES) }
    }
}

/// A step forward; of a cell with a memory in two rounds: the memory of all rows, then h.
pub(super) struct Forward<'a, T, C> {
    pub(super) cell: C,
    /// h is empty where no cell looks at it.
    pub(super) prev: State<&'a [T]>,
    pub(super) next: State<&'a mut [T]>,
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for Forward<'_, T, C> {
    const AGAIN: bool = C::MEMORY;

    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let prev = state::<T, C, L, S>(self.prev, at);
        if C::MEMORY {
            self.cell.memory(z, prev, &self.units.load(at)).store(&mut self.next.c[at..]);
        } else {
            self.cell.step(z, prev, &self.units.load(at)).h.store(&mut self.next.h[at..]);
        }
    }

    #[inline(always)]
    fn again<const L: usize>(&mut self, z: &[Pack<T, L>; S], at: usize) {
        self.cell.emit(z, Pack::load(&self.next.c[at..])).store(&mut self.next.h[at..]);
    }

    #[inline(always)]
    fn fetch<const L: usize>(&self, at: usize) {
        fetch(self.next.h, at..at + L);
        fetch(self.next.c, at..at + L);
    }
}

/// The gradient of h after a step.
#[derive(Clone, Copy)]
pub(super) enum Above<'a, T> {
    /// What came from above, to be added to that of the state; the state's is then replaced.
    Beside(&'a [T]),
    /// All of it; what the step passes on is added to that of the state.
    Whole(&'a [T]),
}

/// A step back: `d` is the gradient of the state, changed in place from after the step to before it.
pub(super) struct Backward<'a, T, C> {
    pub(super) cell: C,
    pub(super) prev: State<&'a [T]>,
    pub(super) dh: Above<'a, T>,
    /// h is empty where the step passes nothing on to it.
    pub(super) d: State<&'a mut [T]>,
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for Backward<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let prev = state::<T, C, L, S>(self.prev, at);
        let (dh, kept) = match self.dh {
            Above::Beside(dy) => (Pack::load(&self.d.h[at..]) + Pack::load(&dy[at..]), Pack::ZEROS),
            Above::Whole(dh) => (Pack::load(&dh[at..]), load_or(self.d.h, at, Pack::ZEROS)),
        };
        let d = State { h: dh, c: memory::<T, C, L, S>(self.d.c, at) };
        let d = self.cell.step_backward(z, prev, d, &self.units.load(at));
        if !self.d.h.is_empty() {
            (d.h + kept).store(&mut self.d.h[at..]);
        }
        if C::MEMORY {
            d.c.store(&mut self.d.c[at..]);
        }
    }

    #[inline(always)]
    fn fetch<const L: usize>(&self, at: usize) {
        let (Above::Beside(dh) | Above::Whole(dh)) = self.dh;
        for read in [self.prev.h, self.prev.c, dh] {
            fetch(read, at..at + L);
        }
    }
}

/// r ⊙ h⟨t−1⟩ for the cells that reset before the product.
pub(super) struct Reset<'a, T, C> {
    pub(super) cell: C,
    pub(super) h: &'a [T],
    pub(super) reset: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for Reset<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        self.cell.reset(z, Pack::load(&self.h[at..])).store(&mut self.reset[at..]);
    }
}

/// [`Reset`] backwards: adds to `dh` what comes through `d_reset`.
pub(super) struct ResetBackward<'a, T, C> {
    pub(super) cell: C,
    pub(super) h: &'a [T],
    pub(super) d_reset: &'a [T],
    pub(super) dh: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> RowOp<T, S> for ResetBackward<'_, T, C> {
    #[inline(always)]
    fn row<const L: usize>(&mut self, z: &mut [Pack<T, L>; S], at: usize) {
        let (h, d) = (Pack::load(&self.h[at..]), Pack::load(&self.d_reset[at..]));
        let dh = Pack::<T, L>::load(&self.dh[at..]) + self.cell.reset_backward(z, h, d);
        dh.store(&mut self.dh[at..]);
    }
}

#[inline(always)]
fn state<T: Elementary, C: Step<S>, const L: usize, const S: usize>(
    from: State<&[T]>,
    at: usize,
) -> State<Pack<T, L>> {
    State { h: load_or(from.h, at, Pack::ZEROS), c: memory::<T, C, L, S>(from.c, at) }
}

#[inline(always)]
fn memory<T: Elementary, C: Step<S>, const L: usize, const S: usize>(c: &[T], at: usize) -> Pack<T, L> {
    if C::MEMORY { Pack::load(&c[at..]) } else { Pack::ZEROS }
}

/// A register of numbers, or another where there are none.
#[inline(always)]
fn load_or<T: Elementary, const L: usize>(from: &[T], at: usize, otherwise: Pack<T, L>) -> Pack<T, L> {
    if from.is_empty() { otherwise } else { Pack::load(&from[at..]) }
}
