//! Softmax and cross-entropy, fast: rows of logits in three passes over the first cache.

use crate::device::{Crew, Elementary, Isa, Task, enter};
use crate::error::Result;

/// Logits of a job: enough to be worth handing out, few enough to stay in the second cache.
const JOB: usize = 1 << 14;
/// Floating point operations for one logit.
const OPERATIONS: f64 = 25.0;

/// What is the same for every row.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) classes: usize,
    /// ε of the smoothed target.
    pub(super) smoothing: f64,
    /// The weight of a row's loss.
    pub(super) share: f64,
}

/// The sum of all rows' losses, and their gradients times the share; None where a logit that counts is
/// not finite. Rows whose target is −1 do not count.
pub(super) fn cross_entropy<T: Elementary>(
    isa: Isa,
    logits: &[T],
    targets: &[i32],
    scale: Scale,
    gradient: &mut [T],
) -> Result<Option<f64>> {
    let rows = (JOB / scale.classes).max(1);
    let numbers = logits.chunks(rows * scale.classes).zip(gradient.chunks_mut(rows * scale.classes));
    let mut jobs: Vec<_> = numbers
        .zip(targets.chunks(rows))
        .map(|((logits, gradient), targets)| Rows { scale, logits, targets, gradient, sum: Some(0.0) })
        .collect();
    enter(logits.len() as f64 * OPERATIONS, |crew: Crew| {
        crew.each(&mut jobs, |_, job| job.sum = isa.run(&mut *job));
    })?;
    Ok(jobs.iter().map(|job| job.sum).sum())
}

/// Some rows: a job.
struct Rows<'a, T> {
    scale: Scale,
    logits: &'a [T],
    targets: &'a [i32],
    gradient: &'a mut [T],
    sum: Option<f64>,
}

impl<T: Elementary> Task<T> for &mut Rows<'_, T> {
    type Out = Option<f64>;

    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Option<f64> {
        let Scale { classes, smoothing, share } = self.scale;
        let rows = self.logits.chunks_exact(classes).zip(self.gradient.chunks_exact_mut(classes));
        let [smooth, kept] = [smoothing, 1.0 - smoothing].map(T::from_f64);
        let [share, each] = [share, share * smoothing / classes as f64].map(T::from_f64);
        let mut total = 0.0;
        for ((z, gradient), &target) in rows.zip(self.targets) {
            let Ok(target) = usize::try_from(target) else { continue };
            let Exponentials { top, sum, below } = exponentials::<T, L>(z, gradient)?;
            // −Σ q ln softmax(z) = ln Σ e + Σ q (max z − z)
            let others = if smoothing > 0.0 { smooth * below / T::from_f64(classes as f64) } else { T::ZERO };
            total += (sum.ln() + kept * (top - z[target]) + others).to_f64();
            let scale = share / sum;
            for g in gradient.iter_mut() {
                *g = (*g * scale - each).flush();
            }
            gradient[target] = (gradient[target] - share * kept).flush();
        }
        Some(total)
    }
}

/// What is known of a row of numbers z after [`exponentials`].
pub(super) struct Exponentials<T> {
    /// max z.
    pub(super) top: T,
    /// Σ exp(z − max z).
    pub(super) sum: T,
    /// Σ (max z − z).
    below: T,
}

/// `out` = exp(z − max z) for a row of at least one number; None where one is not finite.
#[inline(always)]
pub(super) fn exponentials<T: Elementary, const L: usize>(z: &[T], out: &mut [T]) -> Option<Exponentials<T>> {
    let top = largest::<T, L>(z)?;
    let (mut sums, mut below) = ([T::ZERO; L], [T::ZERO; L]);
    in_lanes::<T, L>(z, out, |z, used| {
        let down: [T; L] = std::array::from_fn(|l| z[l] - top);
        let e = T::exp_each(down);
        for l in 0..used {
            sums[l] += e[l];
            below[l] -= down[l];
        }
        e
    });
    let add = |lanes: [T; L]| lanes.into_iter().fold(T::ZERO, |all, x| all + x);
    Some(Exponentials { top, sum: add(sums), below: add(below) })
}

/// The largest of a row of at least one number; None where one is not finite.
#[inline(always)]
pub(crate) fn largest<T: Elementary, const L: usize>(row: &[T]) -> Option<T> {
    // x · 0 is 0 for a finite number, else NaN.
    let (mut top, mut finite) = ([row[0]; L], [T::ZERO; L]);
    let (registers, rest) = row.as_chunks::<L>();
    for line in registers {
        for l in 0..L {
            top[l] = if line[l] > top[l] { line[l] } else { top[l] };
            finite[l] += line[l] * T::ZERO;
        }
    }
    for (l, &x) in rest.iter().enumerate() {
        top[l] = if x > top[l] { x } else { top[l] };
        finite[l] += x * T::ZERO;
    }
    let zeros = finite.into_iter().all(|x| x == T::ZERO);
    zeros.then(|| top.into_iter().fold(row[0], |a, b| if b > a { b } else { a }))
}

/// `out = f(input)`, a register at a time; `f` gets the number of lanes in use, and the first number in the
/// others.
#[inline(always)]
fn in_lanes<T: Elementary, const L: usize>(
    input: &[T],
    out: &mut [T],
    mut f: impl FnMut([T; L], usize) -> [T; L],
) {
    let (registers, rest) = input.as_chunks::<L>();
    let (out_registers, out_rest) = out.as_chunks_mut::<L>();
    for (line, out) in registers.iter().zip(out_registers) {
        *out = f(*line, L);
    }
    if !rest.is_empty() {
        let mut line = [input[0]; L];
        line[..rest.len()].copy_from_slice(rest);
        out_rest.copy_from_slice(&f(line, rest.len())[..rest.len()]);
    }
}
