//! Connectionist temporal classification (Graves et al. 2006): labels without the times at which they fall.
//!
//! A network gives one distribution over V symbols a step, one of which is the blank. A path, one symbol a
//! step, reads as labels once repeats are merged and blanks then dropped; the loss of a row is −ln of the
//! summed probability of all paths that read as its labels.
//!
//! The labels are spread into 2 S + 1 *states*: blank, first label, blank, second label, …, blank. A path
//! begins in one of the first two, stays or goes one on at every step, or two where that passes over a blank
//! between labels that differ, and ends in one of the last two. With α_t(s) the logarithm of the
//! probability of all beginnings that are in state s at step t, and p_t the softmax,
//!
//! α_t(s) = ln p_t(s) + ln Σ exp α_t−1(s'), over the states s' that lead to s.
//!
//! Backwards through the same recursion goes the probability of being in each state, γ_t(s), as shares of
//! what was summed: exp(α_t−1(s') − ln Σ). The gradient by the logits is p_t(k) − Σ γ_t(s), over the states
//! whose symbol is k. All of it is in logarithms and double precision: nothing underflows, however long.

use super::log_sum::log_sum;
use super::path_states::{Row, sources, steps_needed};
use super::softmax::{Exponentials, exponentials};
use super::{Loss, Places, Reduction, reference};
use crate::device::{Crew, Device, Element, Elementary, Isa, Task, enter};
use crate::error::{Error, Result};
use crate::shape::{Shape, check_lengths};

/// Floating point operations for one logit, and for one state at one step.
const OPERATIONS: [f64; 2] = [25.0, 150.0];

/// −ln P(labels | logits), summed over all paths, in nats; see the module for the equations.
///
/// Logits are (B, T, V); `labels` has the labels of each of the B rows, of any number, which are classes other
/// than `blank`. A row whose labels need more steps than it has (one for each, and one more between equal
/// neighbours) is an error, or with `zero_infinity` a loss of 0 that moves nothing. The mean is over labels;
/// a row without any counts as one.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit; [`Error::Value`] for a label that is no class or the blank, for
/// labels that do not fit into their row's steps, or for NaN or infinity among the logits that count.
///
/// # Examples
/// ```
/// use seqrs::device::Device;
/// use seqrs::losses::{Reduction, ctc};
/// use seqrs::shape::Shape;
/// // Two steps, blank and one label, all equally likely: of four paths only "blank, blank" reads as nothing.
/// let shape = Shape { batch: 1, steps: 2 };
/// let device = Device::open("cpu")?;
/// let loss = ctc(device, &[0.0f64; 4], 2, &[&[1]], shape, None, 0, false, Reduction::Sum)?;
/// assert!((loss.value - -(0.75f64).ln()).abs() < 1e-15);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn ctc<T: Element>(
    device: Device,
    logits: &[T],
    classes: usize,
    labels: &[&[i32]],
    shape: Shape,
    lengths: Option<&[usize]>,
    blank: usize,
    zero_infinity: bool,
    reduction: Reduction,
) -> Result<Loss<T>> {
    let places = Places { shape: &[shape.batch, shape.steps, classes], lengths, mask: None };
    places.same_size("logits", logits.len())?;
    if blank >= classes {
        return Err(Error::value("blank", format!("one of {classes} classes, from 0 on"), blank));
    }
    if labels.len() != shape.batch {
        return Err(Error::shape("targets", format!("({}, S)", shape.batch), &[labels.len()]));
    }
    let lengths: Vec<usize> = check_lengths(lengths, shape)?.collect();
    let mut gradient = vec![T::ZERO; logits.len()];
    let counted = labels.iter().map(|labels| labels.len().max(1)).sum();
    let size = shape.steps * classes;
    let mut rows = Vec::with_capacity(shape.batch);
    let mut rest = &mut gradient[..];
    for (row, (&labels, &steps)) in labels.iter().zip(&lengths).enumerate() {
        let part;
        (part, rest) = rest.split_at_mut(size);
        check_labels(labels, row, classes, blank)?;
        let needed = steps_needed(labels);
        if needed > steps {
            if zero_infinity {
                continue;
            }
            let expected = "labels that fit into the steps of their row";
            let got = format!("labels that need {needed} steps in row {row}, which has {steps}");
            return Err(Error::value("targets", expected, got));
        }
        rows.push(Row {
            classes,
            blank,
            share: reduction.share(counted),
            labels,
            logits: &logits[row * size..][..steps * classes],
            gradient: &mut part[..steps * classes],
            loss: None,
        });
    }
    match device {
        Device::Cpu(isa, _) => run(isa, &mut rows)?,
        Device::Reference => rows.iter_mut().for_each(|row| row.loss = reference::ctc(row)),
        #[cfg(feature = "wgpu")]
        Device::Gpu(_) => return Err(super::on_gpu()),
    }
    let sum = rows.iter().map(|row| row.loss).sum::<Option<f64>>();
    let Some(sum) = sum else { return Err(places.one_not_finite("logits", logits)) };
    Ok(Loss::new(sum, reduction.share(counted), gradient))
}

fn check_labels(labels: &[i32], row: usize, classes: usize, blank: usize) -> Result<()> {
    let wrong =
        |&label: &i32| usize::try_from(label).map_or(true, |label| label >= classes || label == blank);
    let Some(at) = labels.iter().position(wrong) else { return Ok(()) };
    let expected = format!("classes from 0 to {} other than the blank, {blank}", classes - 1);
    Err(Error::value("targets", expected, format!("{} at {:?}", labels[at], [row, at])))
}

fn run<T: Elementary>(isa: Isa, rows: &mut [Row<'_, T>]) -> Result<()> {
    let operations = |row: &Row<'_, T>| {
        let states = row.logits.len() / row.classes * (2 * row.labels.len() + 1);
        row.logits.len() as f64 * OPERATIONS[0] + states as f64 * OPERATIONS[1]
    };
    let operations = rows.iter().map(operations).sum();
    enter(operations, |crew: Crew| crew.each(rows, |_, row| row.loss = isa.run(&mut *row)))
}

impl<T: Elementary> Task<T> for &mut Row<'_, T> {
    type Out = Option<f64>;

    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Option<f64> {
        let (symbols, classes) = (self.symbols(), self.classes);
        let (states, steps) = (symbols.len(), self.logits.len() / classes);
        let share = T::from_f64(self.share);
        // ln p of each state's symbol at each step; and p · share as the gradient.
        let mut log_p = vec![0.0; steps * states];
        let frames = self.logits.chunks_exact(classes).zip(self.gradient.chunks_exact_mut(classes));
        for ((z, p), log_p) in frames.zip(log_p.chunks_exact_mut(states)) {
            let Exponentials { top, sum, .. } = exponentials::<T, L>(z, p)?;
            let log_sum = sum.to_f64().ln();
            for (log_p, &k) in log_p.iter_mut().zip(&symbols) {
                *log_p = z[k].to_f64() - top.to_f64() - log_sum; // in double, since no probability is 0 there
            }
            let scale = share / sum;
            p.iter_mut().for_each(|p| *p *= scale);
        }
        let Some(last) = steps.checked_sub(1) else { return Some(0.0) };

        // Step by step: α, and of the step before it the sum that leads to each state.
        let mut alpha = vec![f64::NEG_INFINITY; steps * states];
        let mut into = vec![f64::NEG_INFINITY; steps * states];
        for t in 0..steps {
            let (before, now) = alpha.split_at_mut(t * states);
            // A path gains at most two states a step, and must still reach the end.
            for s in states.saturating_sub(2 * (steps - t))..states.min(2 * (t + 1)) {
                let sum = if t == 0 {
                    0.0
                } else {
                    let before = &before[(t - 1) * states..];
                    log_sum(before[sources(&symbols, s)].iter().copied())
                };
                into[t * states + s] = sum;
                now[s] = sum + log_p[t * states + s];
            }
        }
        let ends = last * states + states.saturating_sub(2)..(last + 1) * states;
        let log_likelihood = log_sum(alpha[ends.clone()].iter().copied());

        // And back: γ of a step, shared out among the states that led there.
        let mut gamma = vec![0.0; states];
        for (gamma, end) in gamma[states.saturating_sub(2)..].iter_mut().zip(ends) {
            *gamma = (alpha[end] - log_likelihood).exp();
        }
        let mut earlier = vec![0.0; states];
        let mut taken = vec![0.0; classes];
        for (t, gradient) in self.gradient.chunks_exact_mut(classes).enumerate().rev() {
            symbols.iter().zip(&gamma).for_each(|(&k, gamma)| taken[k] += gamma);
            for &k in &symbols {
                let taken = std::mem::take(&mut taken[k]) * self.share;
                gradient[k] -= T::from_f64(taken);
            }
            gradient.iter_mut().for_each(|g| *g = g.flush());
            if t == 0 {
                break;
            }
            earlier.fill(0.0);
            let before = &alpha[(t - 1) * states..t * states];
            for s in (0..states).filter(|&s| gamma[s] > 0.0) {
                for from in sources(&symbols, s) {
                    earlier[from] += gamma[s] * (before[from] - into[t * states + s]).exp();
                }
            }
            std::mem::swap(&mut gamma, &mut earlier);
        }
        Some(-log_likelihood)
    }
}
