//! Passes over all weights: the gradient norm and the update, split among threads.
//!
//! Pieces are cut by how many weights there are. A sum follows the same tree inside a piece and then goes
//! over the pieces in order, whoever makes them, so that any number of threads gives the same bits.

use crate::float::Float;
use std::array::from_fn;
use std::iter::once;

/// Elements of one block of a sum.
const BLOCK: usize = 4096;
/// Elements of a piece at least: fewer are not worth another thread.
pub(super) const SERIAL: usize = 4 * BLOCK;
/// Pieces at most.
const PIECES: usize = 64;
/// Weights and moving averages.
pub(crate) const MOST_SLICES: usize = 3;
/// Partial sums inside a block.
const LANES: usize = 16;

/// What is done to every weight and its gradient before the rule: clipping and weight decay.
pub(super) struct Before<T> {
    /// Gradients are cut to ± this.
    pub bound: T,
    /// Factor on the gradient.
    pub scale: T,
    /// This much of the weight is added to the gradient.
    pub added: T,
    /// Factor on the weight itself.
    pub kept: T,
}

/// A loop over weights: inlined where it is run, and so compiled for what runs it.
pub(crate) trait Loop {
    type Out;
    fn run(self) -> Self::Out;
}

/// What runs loops: a device may have them compiled for its processor. None changes a bit.
pub(crate) trait Runner: Copy + Sync {
    fn run<J: Loop>(self, job: J) -> J::Out;

    /// Calls `f` on every piece of so many items of each slice, the last ones perhaps shorter, in any order
    /// or several at a time.
    fn pieces<I: Send, const N: usize>(
        self,
        slices: [&mut [I]; N],
        sizes: [usize; N],
        f: &(impl Fn(usize, [&mut [I]; N]) + Send + Sync),
    ) {
        let mut sizes = sizes.into_iter();
        let mut pieces = slices.map(|slice| slice.chunks_mut(sizes.next().unwrap_or(1)));
        let count = pieces.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        (0..count).for_each(|i| f(i, pieces.each_mut().map(|pieces| pieces.next().unwrap_or_default())));
    }
}

/// The processor that the whole crate is compiled for.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Runner for Portable {
    fn run<J: Loop>(self, job: J) -> J::Out {
        job.run()
    }
}

/// Σ clip(g)² in double precision.
pub(super) fn sum_of_squares<T: Float>(runner: impl Runner, grads: &[T], bound: T) -> f64 {
    let (mut sums, size) = ([0.0; PIECES], piece(grads.len()));
    runner.pieces([&mut sums[..grads.len().div_ceil(size)]], [1], &|i, [sum]| {
        sum[0] = tree(runner, &grads[i * size..grads.len().min((i + 1) * size)], bound);
    });
    sums.iter().sum()
}

/// Elements of a piece of so many.
fn piece(len: usize) -> usize {
    len.div_ceil(PIECES).next_multiple_of(BLOCK).max(SERIAL)
}

/// The same of one piece: lanes inside a block, a tree over blocks.
fn tree<T: Float>(runner: impl Runner, grads: &[T], bound: T) -> f64 {
    if grads.len() > BLOCK {
        let (left, right) = grads.split_at((grads.len() / 2).next_multiple_of(BLOCK));
        return tree(runner, left, bound) + tree(runner, right, bound);
    }
    runner.run(Squares { grads, bound })
}

struct Squares<'a, T> {
    grads: &'a [T],
    bound: T,
}

impl<T: Float> Loop for Squares<'_, T> {
    type Out = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut lanes = [0.0; LANES];
        // Cutting must not hide an infinite gradient.
        let square = |g: T| (if g.is_finite() { clip(g, self.bound) } else { g }).to_f64();
        let (chunks, rest) = self.grads.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                lanes[l] += square(chunk[l]) * square(chunk[l]);
            }
        }
        for (lane, &g) in lanes.iter_mut().zip(rest) {
            *lane += square(g) * square(g);
        }
        lanes.iter().sum()
    }
}

/// Updates some weights, which begin at this place among all, with their moving averages.
pub(crate) type Renew<'a, T> = dyn Fn(usize, [&mut [T]; MOST_SLICES]) + Send + Sync + 'a;

/// Calls `renew` on pieces of weights and moving averages, the places of these pieces counted from their begin.
pub(crate) fn in_pieces<T: Float>(
    runner: impl Runner,
    numbers: [&mut [T]; MOST_SLICES],
    renew: &Renew<'_, T>,
) {
    let size = piece(numbers[0].len());
    runner.pieces(numbers, [size; MOST_SLICES], &|i, pieces| renew(i * size, pieces));
}

/// `rule` (gradient and moments in, what is taken from the weight and new moments out) on every weight, once
/// each, as `pass` goes through them.
pub(super) fn update<T: Float, const N: usize>(
    runner: impl Runner,
    pass: impl FnOnce([&mut [T]; MOST_SLICES], &Renew<'_, T>),
    params: &mut [T],
    grads: &[T],
    moments: [&mut [T]; N],
    before: &Before<T>,
    rule: &(impl Fn(T, [T; N]) -> (T, [T; N]) + Sync),
) {
    let mut numbers = once(params).chain(moments);
    pass(from_fn(|_| numbers.next().unwrap_or_default()), &|first, numbers| {
        let mut numbers = numbers.into_iter();
        let params = numbers.next().unwrap_or_default();
        let moments = from_fn(|_| numbers.next().unwrap_or_default());
        let grads = &grads[first..][..params.len()];
        runner.run(Weights { params, grads, moments, before, rule });
    });
}

struct Weights<'a, T, R, const N: usize> {
    params: &'a mut [T],
    grads: &'a [T],
    moments: [&'a mut [T]; N],
    before: &'a Before<T>,
    rule: &'a R,
}

impl<T: Float, R: Fn(T, [T; N]) -> (T, [T; N]), const N: usize> Loop for Weights<'_, T, R, N> {
    type Out = ();
    #[inline(always)]
    fn run(self) {
        let Self { params, before, rule, .. } = self;
        let n = params.len();
        let grads = &self.grads[..n];
        let moments = self.moments.map(|m| &mut m[..n]);
        for i in 0..n {
            let p = params[i];
            let g = clip(grads[i], before.bound) * before.scale + before.added * p;
            let (taken, new) = rule(g, from_fn(|k| moments[k][i]));
            params[i] = (before.kept * p - taken).flush();
            for k in 0..N {
                moments[k][i] = new[k].flush();
            }
        }
    }
}

/// Cut to ±`bound`. NaN stays NaN, so that it shows in the norm.
#[inline(always)]
fn clip<T: Float>(x: T, bound: T) -> T {
    let x = if x > bound { bound } else { x };
    if x < -bound { -bound } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_at_every_kind_of_length() {
        for n in
            [0, 1, 15, 16, 17, BLOCK, BLOCK + 1, SERIAL, SERIAL + 1, 9 * BLOCK - 3, 5 * PIECES * BLOCK + 1]
        {
            // 1, 4, 9, ... repeat: whole numbers, so that any order gives the exact sum.
            let grads: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let exact =
                |bound: f32| grads.iter().map(|g| f64::from(g.clamp(-bound, bound).powi(2))).sum::<f64>();
            assert_eq!(sum_of_squares(Portable, &grads, f32::INFINITY), exact(4.0), "{n}");
            assert_eq!(sum_of_squares(Portable, &grads, 2.0), exact(2.0), "{n}");
        }
        assert!(sum_of_squares(Portable, &[1.0, f64::NAN], 1.0).is_nan());
    }
}
