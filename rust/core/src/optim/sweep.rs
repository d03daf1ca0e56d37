//! Passes over all weights: the gradient norm and the update, split among threads.
//!
//! A range is halved at the ends of fixed blocks until it is small. The sum follows the same tree
//! whether a second thread helps or not, so that any number of threads gives the same bits.

use crate::float::Float;

/// Elements of one block of a sum.
const BLOCK: usize = 4096;
/// Up to this many elements a second thread costs more than it brings.
pub(super) const SERIAL: usize = 4 * BLOCK;
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
}

/// The processor that the whole crate is compiled for.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Runner for Portable {
    fn run<J: Loop>(self, job: J) -> J::Out {
        job.run()
    }
}

/// Σ clip(g)² in double precision: lanes inside a block, a tree over blocks.
pub(super) fn sum_of_squares<T: Float>(runner: impl Runner, grads: &[T], bound: T) -> f64 {
    if grads.len() > BLOCK {
        let (left, right) = grads.split_at(middle(grads.len()));
        let sum = |part| sum_of_squares(runner, part, bound);
        let (left, right) =
            if grads.len() > SERIAL { join(|| sum(left), || sum(right)) } else { (sum(left), sum(right)) };
        return left + right;
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

/// `rule` (gradient and moments in, what is taken from the weight and new moments out) on every weight.
pub(super) fn update<T: Float, const N: usize>(
    runner: impl Runner,
    params: &mut [T],
    grads: &[T],
    mut moments: [&mut [T]; N],
    before: &Before<T>,
    rule: &(impl Fn(T, [T; N]) -> (T, [T; N]) + Sync),
) {
    let n = params.len();
    if n <= SERIAL {
        return runner.run(Weights { params, grads, moments, before, rule });
    }
    let (params, params2) = params.split_at_mut(middle(n));
    let (grads, grads2) = grads.split_at(middle(n));
    let moments2 = moments.each_mut().map(|m| {
        let (left, right) = std::mem::take(m).split_at_mut(middle(n));
        *m = left;
        right
    });
    join(
        || update(runner, params, grads, moments, before, rule),
        || update(runner, params2, grads2, moments2, before, rule),
    );
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
            let (taken, new) = rule(g, std::array::from_fn(|k| moments[k][i]));
            params[i] = (before.kept * p - taken).flush();
            for k in 0..N {
                moments[k][i] = new[k].flush();
            }
        }
    }
}

/// Both, side by side where the caller is a thread of a team; outside of one nobody else is woken.
fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if rayon::current_thread_index().is_some() { rayon::join(a, b) } else { (a(), b()) }
}

/// Where to halve a range: near its middle, at the end of a block.
fn middle(len: usize) -> usize {
    (len / 2).next_multiple_of(BLOCK)
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
        for n in [0, 1, 15, 16, 17, BLOCK, BLOCK + 1, SERIAL, SERIAL + 1, 9 * BLOCK - 3] {
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
