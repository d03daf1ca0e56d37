//! A cell's step over the rows of one unit block: the part of a layer that is not a product.

use super::math::Elementary;
use super::simd::{Pack, Task};
use crate::cells::{Lanes, State, Step, Unit};

/// What the units of a block know beside their state: peephole weights (or nothing), and a row of
/// candidate masks for each row (or nothing), `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Units<'a, T> {
    pub(super) peephole: [&'a [T]; 3],
    pub(super) candidate: &'a [T],
}

impl<T: Elementary> Units<'_, T> {
    #[inline(always)]
    fn load<const L: usize>(&self, at: usize) -> Unit<Pack<T, L>> {
        let peephole = self.peephole.map(|p| load_or(p, 0, Pack::ZEROS));
        Unit { peephole, candidate: load_or(self.candidate, at, Pack::ONES) }
    }
}

/// Rows of one unit block: `z` has S·L numbers a row; every other slice starts at the block's
/// first unit and has its rows `stride` apart.
pub(super) struct StepRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    /// h is empty where no cell looks at it.
    pub(super) prev: State<&'a [T]>,
    pub(super) next: State<&'a mut [T]>,
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for StepRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = state::<T, C, L, S>(self.prev, at);
            let next = self.cell.step(&mut z, prev, &self.units.load(at));
            store(line, z);
            next.h.store(&mut self.next.h[at..]);
            if C::MEMORY {
                next.c.store(&mut self.next.c[at..]);
            }
        }
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

/// As [`StepRows`], backwards; `d` is the gradient of the state, changed in place from after the
/// step to before it.
pub(super) struct StepBackwardRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) prev: State<&'a [T]>,
    pub(super) dh: Above<'a, T>,
    pub(super) d: State<&'a mut [T]>,
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for StepBackwardRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = state::<T, C, L, S>(self.prev, at);
            let (dh, kept) = match self.dh {
                Above::Beside(dy) => (Pack::load(&self.d.h[at..]) + Pack::load(&dy[at..]), Pack::ZEROS),
                Above::Whole(dh) => (Pack::load(&dh[at..]), load_or(self.d.h, at, Pack::ZEROS)),
            };
            let d = State { h: dh, c: memory::<T, C, L, S>(self.d.c, at) };
            let d = self.cell.step_backward(&mut z, prev, d, &self.units.load(at));
            store(line, z);
            if !self.d.h.is_empty() {
                (d.h + kept).store(&mut self.d.h[at..]);
            }
            if C::MEMORY {
                d.c.store(&mut self.d.c[at..]);
            }
        }
    }
}

/// r ⊙ h⟨t−1⟩ for the cells that reset before the product.
pub(super) struct ResetRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) h: &'a [T],
    pub(super) reset: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for ResetRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            self.cell.reset(&mut z, Pack::load(&self.h[at..])).store(&mut self.reset[at..]);
            store(line, z);
        }
    }
}

/// As [`ResetRows`], backwards: adds to `dh` what comes through `d_reset`.
pub(super) struct ResetBackwardRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) h: &'a [T],
    pub(super) d_reset: &'a [T],
    pub(super) dh: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for ResetBackwardRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let (h, d) = (Pack::load(&self.h[at..]), Pack::load(&self.d_reset[at..]));
            let dh = Pack::<T, L>::load(&self.dh[at..]) + self.cell.reset_backward(&mut z, h, d);
            dh.store(&mut self.dh[at..]);
            store(line, z);
        }
    }
}

/// The first half of a step with its memory normalised in between: c after the step.
pub(super) struct MemoryRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) prev_c: &'a [T],
    pub(super) next_c: &'a mut [T],
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for MemoryRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = State { h: Pack::ZEROS, c: Pack::load(&self.prev_c[at..]) };
            self.cell.memory(&mut z, prev, &self.units.load(at)).store(&mut self.next_c[at..]);
            store(line, z);
        }
    }
}

/// The second half: h from the normalised memory.
pub(super) struct EmitRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a [T],
    pub(super) seen: &'a [T],
    pub(super) h: &'a mut [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for EmitRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let z = slots::<T, L, S>(line);
            self.cell.emit(&z, Pack::load(&self.seen[at..])).store(&mut self.h[at..]);
        }
    }
}

/// As [`EmitRows`], backwards: `seen` is replaced by its gradient.
pub(super) struct EmitBackwardRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) seen: &'a mut [T],
    pub(super) dh: &'a [T],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for EmitBackwardRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let seen = &mut self.seen[at..];
            self.cell.emit_backward(&mut z, Pack::load(seen), Pack::load(&self.dh[at..])).store(seen);
            store(line, z);
        }
    }
}

/// As [`MemoryRows`], backwards: `dc` goes from after the step to before it.
pub(super) struct MemoryBackwardRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) prev_c: &'a [T],
    pub(super) dc: &'a mut [T],
    pub(super) units: Units<'a, T>,
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for MemoryBackwardRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = State { h: Pack::ZEROS, c: Pack::load(&self.prev_c[at..]) };
            let dc = Pack::load(&self.dc[at..]);
            self.cell.memory_backward(&mut z, prev, dc, &self.units.load(at)).c.store(&mut self.dc[at..]);
            store(line, z);
        }
    }
}

#[inline(always)]
fn slots<T: Elementary, const L: usize, const S: usize>(line: &[T]) -> [Pack<T, L>; S] {
    std::array::from_fn(|s| Pack::load(&line[s * L..]))
}

#[inline(always)]
fn store<T: Elementary, const L: usize, const S: usize>(line: &mut [T], z: [Pack<T, L>; S]) {
    for (s, z) in z.into_iter().enumerate() {
        z.store(&mut line[s * L..]);
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
