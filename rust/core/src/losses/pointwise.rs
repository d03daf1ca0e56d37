//! Losses that compare a prediction p and its target y number by number.

use crate::device::{Crew, Elementary, Isa, Task, enter};
use crate::error::{Error, Result};
use crate::float::Float;
use std::array::from_fn;
use std::ops::Range;

/// Numbers of a job. Sums follow these blocks.
const JOB: usize = 1 << 14;
/// Floating point operations for one number.
const OPERATIONS: f64 = 12.0;

/// The loss of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pointwise {
    /// (p − y)².
    SquaredError,
    /// |p − y|; its gradient at 0 is 0.
    AbsoluteError,
    /// (p − y)² / 2 up to a distance of δ, from there on the tangent δ |p − y| − δ² / 2 (Huber 1964).
    Huber {
        /// δ, above 0.
        delta: f64,
    },
    /// −y ln σ(p) − (1 − y) ln(1 − σ(p)) = max(p, 0) − p y + ln(1 + e^−|p|) for a logit p and a
    /// probability y.
    BinaryCrossEntropy,
}

impl Pointwise {
    /// A loss by name: `"squared_error"`, `"absolute_error"`, `"huber"`, which takes `delta`, or
    /// `"binary_cross_entropy"`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn from_name(name: &str, delta: f64) -> Result<Self> {
        match name {
            "squared_error" => Ok(Self::SquaredError),
            "absolute_error" => Ok(Self::AbsoluteError),
            "huber" => Ok(Self::Huber { delta }),
            "binary_cross_entropy" => Ok(Self::BinaryCrossEntropy),
            _ => Err(Error::Unknown {
                kind: "loss",
                name: name.to_owned(),
                known: "squared_error, absolute_error, huber, binary_cross_entropy".to_owned(),
            }),
        }
    }

    pub(super) fn validate<T: Float>(self) -> Result<()> {
        match self {
            Self::Huber { delta } if !(T::from_f64(delta) > T::ZERO && T::from_f64(delta).is_finite()) => {
                Err(Error::value("delta", format!("a finite {} number above 0", T::NAME), delta))
            }
            _ => Ok(()),
        }
    }

    /// What prediction and target are called.
    pub(super) fn names(self) -> [&'static str; 2] {
        match self {
            Self::BinaryCrossEntropy => ["logits", "targets"],
            _ => ["predictions", "targets"],
        }
    }

    /// Whether a finite target is one.
    pub(super) fn takes<T: Float>(self, target: T) -> bool {
        self != Self::BinaryCrossEntropy || (target >= T::ZERO && target <= T::ONE)
    }

    /// The losses and their gradients by p.
    #[inline(always)]
    fn each<T: Elementary, const L: usize>(self, p: [T; L], y: [T; L]) -> ([T; L], [T; L]) {
        let d: [T; L] = from_fn(|l| p[l] - y[l]);
        match self {
            Self::SquaredError => (d.map(|d| d * d), d.map(|d| d + d)),
            Self::AbsoluteError => (d.map(T::abs), d.map(|d| clamp(d, T::ZERO, T::ONE))),
            Self::Huber { delta } => {
                let (delta, half) = (T::from_f64(delta), T::from_f64(0.5));
                let g = d.map(|d| clamp(d, delta, delta));
                (from_fn(|l| g[l] * (d[l] - half * g[l])), g)
            }
            Self::BinaryCrossEntropy => {
                let e: [T; L] = T::exp_each(p.map(|p| -p.abs()));
                let log = ln_1p_each(e);
                let positive = |p: T| if p > T::ZERO { p } else { T::ZERO };
                let sigmoid = |l: usize| (if p[l] >= T::ZERO { T::ONE } else { e[l] }) / (T::ONE + e[l]);
                (from_fn(|l| positive(p[l]) - p[l] * y[l] + log[l]), from_fn(|l| sigmoid(l) - y[l]))
            }
        }
    }
}

/// `x` where it is within ±`limit`, else ±`beyond`.
#[inline(always)]
fn clamp<T: Float>(x: T, limit: T, beyond: T) -> T {
    let x = if x > limit { beyond } else { x };
    if x < -limit { -beyond } else { x }
}

/// ln(1 + x) for x in [0, 1]: 2 artanh s = 2 (s + s³ / 3 + s⁵ / 5 + …) with s = x / (2 + x) ≤ 1/3, to the
/// precision of the type.
#[inline(always)]
fn ln_1p_each<T: Elementary, const L: usize>(x: [T; L]) -> [T; L] {
    let terms = if size_of::<T>() == 4 { 8 } else { 18 };
    let two = T::from_f64(2.0);
    let s: [T; L] = from_fn(|l| x[l] / (two + x[l]));
    let square: [T; L] = from_fn(|l| s[l] * s[l]);
    let mut series = [T::ZERO; L];
    for k in (0..terms).rev() {
        let coefficient = T::from_f64(2.0 / f64::from(2 * k + 1));
        for l in 0..L {
            series[l] = series[l] * square[l] + coefficient;
        }
    }
    from_fn(|l| s[l] * series[l])
}

/// The sum of the losses over `runs`, and their gradients times `share`; None where a number that counts
/// is not finite, or a target not one that the loss takes.
pub(super) fn sum<T: Elementary>(
    isa: Isa,
    loss: Pointwise,
    [prediction, target]: [&[T]; 2],
    runs: &[Range<usize>],
    share: T,
    gradient: &mut [T],
) -> Result<Option<f64>> {
    let blocks = gradient.chunks_mut(JOB).enumerate();
    let mut jobs: Vec<_> = blocks
        .map(|(i, gradient)| Block {
            loss,
            prediction,
            target,
            runs,
            share,
            at: i * JOB,
            gradient,
            sum: None,
        })
        .collect();
    enter(prediction.len() as f64 * OPERATIONS, |crew: Crew| {
        crew.each(&mut jobs, |_, job| job.sum = isa.run(&mut *job));
    })?;
    Ok(jobs.iter().map(|job| job.sum).sum())
}

/// Some numbers on end: a job.
struct Block<'a, T> {
    loss: Pointwise,
    prediction: &'a [T],
    target: &'a [T],
    runs: &'a [Range<usize>],
    share: T,
    /// Where `gradient` begins.
    at: usize,
    gradient: &'a mut [T],
    sum: Option<f64>,
}

impl<T: Elementary> Task<T> for &mut Block<'_, T> {
    type Out = Option<f64>;

    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Option<f64> {
        let (start, end) = (self.at, self.at + self.gradient.len());
        // x · 0 is 0 for a finite number, else NaN.
        let (mut sums, mut wrong) = ([0.0; L], [T::ZERO; L]);
        let first = self.runs.partition_point(|run| run.end <= start);
        for run in self.runs[first..].iter().take_while(|run| run.start < end) {
            let run = run.start.max(start)..run.end.min(end);
            let gradient = &mut self.gradient[run.start - start..run.end - start];
            let (loss, share) = (self.loss, self.share);
            let mut step = |p: [T; L], y: [T; L], used: usize| -> [T; L] {
                let (losses, gradients) = loss.each(p, y);
                for l in 0..used {
                    sums[l] += losses[l].to_f64();
                    wrong[l] += p[l] * T::ZERO + y[l] * T::ZERO;
                }
                if loss == Pointwise::BinaryCrossEntropy {
                    for l in 0..used {
                        wrong[l] += if y[l] < T::ZERO || y[l] > T::ONE { T::ONE } else { T::ZERO };
                    }
                }
                gradients.map(|g| (g * share).flush())
            };
            let (p, p_rest) = self.prediction[run.clone()].as_chunks::<L>();
            let (y, y_rest) = self.target[run].as_chunks::<L>();
            let (out, out_rest) = gradient.as_chunks_mut::<L>();
            for ((p, y), out) in p.iter().zip(y).zip(out) {
                *out = step(*p, *y, L);
            }
            if !p_rest.is_empty() {
                let n = p_rest.len();
                let padded = |rest: &[T]| from_fn(|l| rest.get(l).copied().unwrap_or(T::ZERO));
                out_rest.copy_from_slice(&step(padded(p_rest), padded(y_rest), n)[..n]);
            }
        }
        wrong.into_iter().all(|x| x == T::ZERO).then(|| sums.into_iter().sum())
    }
}
