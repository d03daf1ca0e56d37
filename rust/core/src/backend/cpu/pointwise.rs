//! A cell's step over the rows of one unit block: the part of a layer that is not a product.

use super::math::Elementary;
use super::simd::{Pack, Task};
use crate::cells::{Lanes, State, Step};

/// Rows of one unit block: `z` has S·L numbers a row; every other slice starts at the block's
/// first unit and has its rows `stride` apart.
pub(super) struct StepRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) prev: State<&'a [T]>,
    pub(super) next: State<&'a mut [T]>,
    pub(super) peephole: [&'a [T]; 3],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for StepRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        let p = self.peephole.map(load_or_zero::<T, L>);
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = State { h: Pack::load(&self.prev.h[at..]), c: memory::<T, C, L, S>(self.prev.c, at) };
            let next = self.cell.step(&mut z, prev, &p);
            store(line, z);
            next.h.store(&mut self.next.h[at..]);
            if C::MEMORY {
                next.c.store(&mut self.next.c[at..]);
            }
        }
    }
}

/// As [`StepRows`], backwards; `dy` is the gradient that comes from above, `d` that of the state,
/// changed in place from after the step to before it.
pub(super) struct StepBackwardRows<'a, T, C, const S: usize> {
    pub(super) cell: C,
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) z: &'a mut [T],
    pub(super) prev: State<&'a [T]>,
    pub(super) next: State<&'a [T]>,
    pub(super) dy: &'a [T],
    pub(super) d: State<&'a mut [T]>,
    pub(super) peephole: [&'a [T]; 3],
}

impl<T: Elementary, C: Step<S>, const S: usize> Task<T> for StepBackwardRows<'_, T, C, S> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(self) {
        let p = self.peephole.map(load_or_zero::<T, L>);
        for (r, line) in self.z.chunks_exact_mut(S * L).take(self.rows).enumerate() {
            let at = r * self.stride;
            let mut z = slots::<T, L, S>(line);
            let prev = State { h: Pack::load(&self.prev.h[at..]), c: memory::<T, C, L, S>(self.prev.c, at) };
            let next = State { h: Pack::load(&self.next.h[at..]), c: memory::<T, C, L, S>(self.next.c, at) };
            let dh = Pack::<T, L>::load(&self.d.h[at..]) + Pack::load(&self.dy[at..]);
            let d = State { h: dh, c: memory::<T, C, L, S>(self.d.c, at) };
            let d = self.cell.step_backward(&mut z, prev, next, d, &p);
            store(line, z);
            d.h.store(&mut self.d.h[at..]);
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
fn memory<T: Elementary, C: Step<S>, const L: usize, const S: usize>(c: &[T], at: usize) -> Pack<T, L> {
    if C::MEMORY { Pack::load(&c[at..]) } else { Pack::ZEROS }
}

#[inline(always)]
fn load_or_zero<T: Elementary, const L: usize>(p: &[T]) -> Pack<T, L> {
    if p.is_empty() { Pack::ZEROS } else { Pack::load(p) }
}
