//! The head and its loss in one: logits of some rows, their softmax, their gradients and both
//! products of the way back while they are hot. Only a chunk of the logits is computed at once.

use super::context::Context;
use super::linear::Linear;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use super::segments::Segment;
use super::simd::{Pack, Task};
use super::threads::Crew;
use std::mem::take;

/// Logits that a group keeps at once, in numbers.
const LOGITS_AT_ONCE: usize = 1 << 19;
/// Rows at once at least: the head's weights are read once for so many.
const LEAST_ROWS: usize = 48;

/// Rows of logits a group keeps at once, of `rows` in all.
pub(super) fn rows_at_once(rows: usize, vocabulary: usize) -> usize {
    (LOGITS_AT_ONCE / vocabulary.max(1)).max(LEAST_ROWS).min(rows)
}

impl<T: Elementary> Linear<T> {
    /// Log-probabilities of all targets and, in training, the gradients of the mean of −log p
    /// over the `scored` rows: of the head's input and of its weights.
    pub(super) fn cross_entropy(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        training: Option<(usize, &Context<'_, T>, &mut [T])>,
    ) {
        let longest = parts.iter().map(|p| p.group.len).max().unwrap_or(0);
        let chunk = rows_at_once(longest, self.to).max(1);
        let share = training.as_ref().map(|(scored, ..)| T::ONE / T::from_f64((*scored).max(1) as f64));
        let mut gradient = training.map(|(_, run, gradient)| (run, gradient));
        for first in (0..longest).step_by(chunk) {
            let count = |p: &Part<T>| chunk.min(p.group.len.saturating_sub(first));
            crew.each(parts, |_, part| {
                let rows = count(part);
                if rows > 0 {
                    self.chunk(part, first, rows, share);
                }
            });
            if let Some((run, gradient)) = &mut gradient {
                let of_part = |part| {
                    let part: &Part<T> = part;
                    let (dz, x) = (&part.logits, &part.slots[self.input.slot]);
                    let (block, rows) = (self.isa.lanes::<T>(), count(part));
                    let x_rows = if rows == 0 { &[][..] } else { x.at(first) };
                    Segment {
                        dz: dz.data(),
                        unit: 1,
                        row: dz.stride,
                        block,
                        x: x_rows,
                        stride: x.stride,
                        rows,
                    }
                };
                self.gradients_of(crew, &parts.iter().map(of_part), run, gradient);
            }
        }
    }

    fn chunk(&self, part: &mut Part<T>, first: usize, rows: usize, share: Option<T>) {
        let mut logits: Rows<T> = take(&mut part.logits);
        let (x, stride) = (&part.slots[self.input.slot], logits.stride);
        self.product(rows, x.at(first), x.stride, logits.at_mut(0), stride);
        self.isa.run(SoftmaxRows {
            width: self.to,
            stride,
            logits: logits.at_mut(0),
            targets: &part.targets[first..first + rows],
            log_probs: &mut part.log_probs[first..first + rows],
            share,
        });
        if share.is_some() {
            let dx = &mut part.d_slots[self.input.slot];
            let dx_stride = dx.stride;
            self.product_backward(rows, logits.at(0), stride, dx.at_mut(first), dx_stride);
        }
        part.logits = logits;
    }
}

/// log p = z_y − max z − ln Σ exp(z − max z) of every row; with a `share`, the logits become
/// their gradients (softmax(z) − onehot(y)) · share. Rows whose target is −1 do not count.
struct SoftmaxRows<'a, T> {
    width: usize,
    stride: usize,
    logits: &'a mut [T],
    targets: &'a [i32],
    log_probs: &'a mut [T],
    share: Option<T>,
}

impl<T: Elementary> Task<T> for SoftmaxRows<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let whole = self.width.next_multiple_of(L);
        let rows = self.logits.chunks_exact_mut(self.stride);
        for ((row, &target), log_prob) in rows.zip(self.targets).zip(self.log_probs) {
            let row = &mut row[..whole];
            let Ok(target) = usize::try_from(target) else {
                *log_prob = T::ZERO;
                row.fill(T::ZERO);
                continue;
            };
            let wanted = row[target];
            let top = largest::<T, L>(row);
            let mut sums = [T::ZERO; L];
            for line in row.chunks_exact_mut(L) {
                let line: &mut [T; L] = line.try_into().expect("a whole register");
                let e = T::exp_each::<L>(std::array::from_fn(|l| line[l] - top));
                for l in 0..L {
                    sums[l] += e[l];
                }
                *line = e;
            }
            let sum = sums.into_iter().fold(T::ZERO, |all, s| all + s);
            *log_prob = wanted - top - sum.ln();
            if let Some(share) = self.share {
                let scale = share / sum;
                for p in row.iter_mut() {
                    *p = (*p * scale).flush();
                }
                row[target] -= share;
            }
        }
    }
}

#[inline(always)]
fn largest<T: Elementary, const L: usize>(row: &[T]) -> T {
    let mut top = Pack::<T, L>::load(row).0;
    for line in row.chunks_exact(L) {
        for l in 0..L {
            top[l] = if line[l] > top[l] { line[l] } else { top[l] };
        }
    }
    top.into_iter().reduce(|a, b| if b > a { b } else { a }).unwrap_or(T::ZERO)
}
