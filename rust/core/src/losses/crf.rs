//! Linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).
//!
//! A sequence of tags y for emissions e scores
//!
//! score(y) = start(y_1) + Σ_t e_t(y_t) + Σ_t transitions(y_t, y_t+1) + end(y_T),
//!
//! its probability is exp score(y) / Z with Z summed over all K^T sequences, and the loss of a row −ln of the
//! probability of its tags. With α_t(j) the logarithm of the sum over all beginnings that end in tag j at
//! step t,
//!
//! α_t(j) = e_t(j) + ln Σ_i exp(α_t−1(i) + transitions(i, j)).
//!
//! Backwards through the same recursion go the marginals γ_t(j), the probabilities of a tag at a step, as
//! shares of what was summed; the probabilities of pairs of tags come with them, and the gradient of every
//! parameter is how often it is expected less how often it came.
//!
//! The sum over i is a product with exp(transitions), made once, of numbers relative to the largest α. Where
//! all but nothing is left of it in double precision, as in chains that rule most pairs out, it is taken in
//! logarithms term by term: no score, however large, is lost.

use super::chain::{Chain, Doubled};
use super::chain_rows::{Expected, Rows, Shared, Wrong};
use super::log_sum::log_sum;
use super::{Places, Reduction, reference};
use crate::device::{Crew, Device, Element, Elementary, Isa, Task, enter};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::{Shape, check_lengths};

/// Rows of a job. The sums over rows follow these blocks.
const JOB: usize = 4;
/// Floating point operations for a pair of tags at one step, forward and backward.
const OPERATIONS: f64 = 6.0;
/// A sum of numbers up to 1 below which some of its terms may have been lost.
const LOST: f64 = 1e-280;

/// The loss of a chain and where it falls.
#[derive(Clone, Debug)]
pub struct ChainLoss<T> {
    /// Its value.
    pub value: f64,
    /// Its gradient by the emissions, (B, T, K).
    pub emissions: Vec<T>,
    /// By [`Chain::start`].
    pub start: Vec<T>,
    /// By [`Chain::transitions`].
    pub transitions: Vec<T>,
    /// By [`Chain::end`].
    pub end: Vec<T>,
}

/// −ln P(tags | emissions) of a linear chain, in nats; see the module for the equations.
///
/// Emissions are (B, T, K), tags (B, T). The mean is over all steps that count.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit; [`Error::Value`] for a tag outside of 0 to K − 1, tags that the
/// chain rules out, a row of which it rules everything out, or NaN or infinity among the emissions that
/// count.
///
/// # Examples
/// ```
/// use seqrs::device::Device;
/// use seqrs::losses::{Chain, Reduction, crf};
/// use seqrs::shape::Shape;
/// // Two tags that score alike, of which none may follow itself: of three tags in a row two sequences are left.
/// let never = f64::NEG_INFINITY;
/// let chain = Chain { start: &[0.0, 0.0], transitions: &[never, 0.0, 0.0, never], end: &[0.0, 0.0] };
/// let shape = Shape { batch: 1, steps: 3 };
/// let loss =
///     crf(Device::open("cpu")?, &[0.0; 6], &[0, 1, 0], &chain, shape, None, Reduction::Sum)?;
/// assert!((loss.value - 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn crf<T: Element>(
    device: Device,
    emissions: &[T],
    tags: &[i32],
    chain: &Chain<'_, T>,
    shape: Shape,
    lengths: Option<&[usize]>,
    reduction: Reduction,
) -> Result<ChainLoss<T>> {
    chain.check(emissions, shape)?;
    if tags.len() != shape.rows() {
        return Err(Error::shape("tags", format!("({}, {})", shape.batch, shape.steps), &[tags.len()]));
    }
    let lengths: Vec<usize> = check_lengths(lengths, shape)?.collect();
    let share = reduction.share(lengths.iter().sum());
    let scores = chain.in_double();
    let (k, mut gold) = (scores.tags, vec![0; tags.len()]);
    let mut known = 0.0;
    for (row, &steps) in lengths.iter().enumerate() {
        let at = row * shape.steps;
        for t in at..at + steps {
            gold[t] = usize::try_from(tags[t]).ok().filter(|&tag| tag < k).ok_or_else(|| {
                let got = format!("{} at {:?}", tags[t], [row, t - at]);
                Error::value("tags", format!("tags from 0 to {}", k - 1), got)
            })?;
        }
        known += scores.score(&emissions[at * k..], &gold[at..at + steps]).map_err(|t| {
            let got = format!("tag {} at {:?}", gold[at + t], [row, t]);
            Error::value("tags", "a sequence that the chain does not rule out", got)
        })?;
    }
    let mut marginals = vec![T::ZERO; emissions.len()];
    let expected = expectations(device, emissions, &scores, shape, &lengths, share, &mut marginals)?;
    let mut loss = ChainLoss {
        value: (expected.log_z - known) * share,
        emissions: marginals,
        start: Vec::new(),
        transitions: Vec::new(),
        end: Vec::new(),
    };
    let [mut start, mut pairs, mut end] = [expected.start, expected.pairs, expected.end];
    for (row, &steps) in lengths.iter().enumerate().filter(|(_, steps)| **steps > 0) {
        let gold = &gold[row * shape.steps..][..steps];
        start[gold[0]] -= 1.0;
        end[gold[steps - 1]] -= 1.0;
        gold.windows(2).for_each(|pair| pairs[pair[0] * k + pair[1]] -= 1.0);
        for (t, &tag) in gold.iter().enumerate() {
            let g = &mut loss.emissions[(row * shape.steps + t) * k + tag];
            *g = Float::flush(*g - T::from_f64(share));
        }
    }
    let scaled = |sums: Vec<f64>| sums.into_iter().map(|x| Float::flush(T::from_f64(x * share))).collect();
    (loss.start, loss.transitions, loss.end) = (scaled(start), scaled(pairs), scaled(end));
    Ok(loss)
}

/// The probability of each tag at each step, (B, T, K), 0 where nothing counts.
///
/// # Errors
/// As [`crf`].
pub fn crf_marginals<T: Element>(
    device: Device,
    emissions: &[T],
    chain: &Chain<'_, T>,
    shape: Shape,
    lengths: Option<&[usize]>,
) -> Result<Vec<T>> {
    chain.check(emissions, shape)?;
    let lengths: Vec<usize> = check_lengths(lengths, shape)?.collect();
    let mut marginals = vec![T::ZERO; emissions.len()];
    expectations(device, emissions, &chain.in_double(), shape, &lengths, 1.0, &mut marginals)?;
    Ok(marginals)
}

/// What is expected of all rows; `marginals` are times `share`.
fn expectations<T: Element>(
    device: Device,
    emissions: &[T],
    chain: &Doubled,
    shape: Shape,
    lengths: &[usize],
    share: f64,
    marginals: &mut [T],
) -> Result<Expected> {
    let (k, size) = (chain.tags, shape.steps * chain.tags);
    let shared = Shared::new(chain);
    let blocks = emissions.chunks((JOB * size).max(1)).zip(marginals.chunks_mut((JOB * size).max(1)));
    let mut jobs: Vec<_> = blocks
        .zip(lengths.chunks(JOB))
        .enumerate()
        .map(|(i, ((emissions, marginals), lengths))| Rows {
            chain,
            shared: &shared,
            share,
            size,
            first: i * JOB,
            lengths,
            emissions,
            marginals,
            out: Ok(Expected::zeros(k)),
        })
        .collect();
    match device {
        Device::Cpu(isa, _) => run(isa, &mut jobs)?,
        Device::Reference => jobs.iter_mut().for_each(|job| job.out = reference::chain(job)),
        #[cfg(feature = "wgpu")]
        Device::Gpu(_) => return Err(super::on_gpu()),
    }
    let mut all = Expected::zeros(k);
    for job in jobs {
        match job.out {
            Ok(expected) => all.add(&expected),
            Err(Wrong::NotFinite) => {
                let places =
                    Places { shape: &[shape.batch, shape.steps, k], lengths: Some(lengths), mask: None };
                return Err(places.one_not_finite("emissions", emissions));
            }
            Err(Wrong::Nothing { row }) => {
                let got = format!("none of the {} steps of row {row}", lengths[row]);
                return Err(Error::value("transitions", "a chain that allows some sequence", got));
            }
        }
    }
    Ok(all)
}

fn run<T: Elementary>(isa: Isa, jobs: &mut [Rows<'_, T>]) -> Result<()> {
    let operations = |job: &Rows<'_, T>| job.emissions.len() as f64 * job.chain.tags as f64 * OPERATIONS;
    let operations = jobs.iter().map(operations).sum();
    enter(operations, |crew: Crew| crew.each(jobs, |_, job| job.out = isa.run(&mut *job)))
}

impl<T: Elementary> Task<T> for &mut Rows<'_, T> {
    type Out = std::result::Result<Expected, Wrong>;

    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Self::Out {
        let Rows { chain, shared, .. } = *self;
        let k = chain.tags;
        let mut out = Expected::zeros(k);
        // Shares of pairs from products, which lack the factor exp(transitions).
        let mut products = vec![0.0; k * k];
        for (row, &steps) in self.lengths.iter().enumerate().filter(|(_, steps)| **steps > 0) {
            let e: Vec<f64> =
                self.emissions[row * self.size..][..steps * k].iter().map(|e| e.to_f64()).collect();
            // x · 0 is 0 for a finite number, else NaN.
            if e.iter().map(|e| e * 0.0).sum::<f64>() != 0.0 {
                return Err(Wrong::NotFinite);
            }
            // Of each step α; its exponentials relative to the largest; and Σ of the step after it.
            let mut alpha = vec![0.0; steps * k];
            let mut weights = vec![0.0; steps * k];
            let mut sums = vec![0.0; steps * k];
            for j in 0..k {
                alpha[j] = chain.start[j] + e[j];
            }
            for t in 1..steps {
                let (before, now) = alpha.split_at_mut(t * k);
                let before = &before[(t - 1) * k..];
                let weights = &mut weights[(t - 1) * k..t * k];
                let sums = &mut sums[(t - 1) * k..t * k];
                let top = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                if top == f64::NEG_INFINITY {
                    return Err(Wrong::Nothing { row: self.first + row });
                }
                for i in 0..k {
                    weights[i] = (before[i] - top).exp();
                    add(sums, weights[i], &shared.exp[i * k..(i + 1) * k]);
                }
                for j in 0..k {
                    let sum = if sums[j] >= LOST {
                        top + shared.top + sums[j].ln()
                    } else {
                        log_sum(before.iter().enumerate().map(|(i, alpha)| alpha + chain.pair(i, j)))
                    };
                    now[j] = sum + e[t * k + j];
                }
            }
            let last = &alpha[(steps - 1) * k..];
            let log_z = log_sum(last.iter().zip(&chain.end).map(|(alpha, end)| alpha + end));
            if log_z == f64::NEG_INFINITY {
                return Err(Wrong::Nothing { row: self.first + row });
            }
            out.log_z += log_z;

            let mut gamma: Vec<f64> =
                last.iter().zip(&chain.end).map(|(alpha, end)| (alpha + end - log_z).exp()).collect();
            add(&mut out.end, 1.0, &gamma);
            let (mut ratios, mut earlier) = (vec![0.0; k], vec![0.0; k]);
            for t in (0..steps).rev() {
                let marginals = &mut self.marginals[row * self.size + t * k..][..k];
                for (out, gamma) in marginals.iter_mut().zip(&gamma) {
                    *out = T::from_f64(gamma * self.share).flush();
                }
                let Some(before) = t.checked_sub(1) else { break };
                let before = before * k..t * k;
                let (alpha, weights, sums) =
                    (&alpha[before.clone()], &weights[before.clone()], &sums[before]);
                // A pair's share of γ_t(j) is its share of the sum: weight · exp(transition) / sum.
                earlier.fill(0.0);
                for j in 0..k {
                    ratios[j] = if sums[j] >= LOST { gamma[j] / sums[j] } else { 0.0 };
                    if ratios[j] > 0.0 {
                        add(&mut earlier, ratios[j], &shared.transposed[j * k..(j + 1) * k]);
                    }
                }
                for i in 0..k {
                    earlier[i] *= weights[i];
                    add(&mut products[i * k..(i + 1) * k], weights[i], &ratios);
                }
                for j in (0..k).filter(|&j| sums[j] < LOST && gamma[j] > 0.0) {
                    let sum = log_sum(alpha.iter().enumerate().map(|(i, alpha)| alpha + chain.pair(i, j)));
                    for i in 0..k {
                        let pair = gamma[j] * (alpha[i] + chain.pair(i, j) - sum).exp();
                        earlier[i] += pair;
                        out.pairs[i * k + j] += pair;
                    }
                }
                std::mem::swap(&mut gamma, &mut earlier);
            }
            add(&mut out.start, 1.0, &gamma);
        }
        for (pairs, (product, exp)) in out.pairs.iter_mut().zip(products.iter().zip(&shared.exp)) {
            *pairs += product * exp;
        }
        Ok(out)
    }
}

/// `sums += factor · numbers`.
#[inline(always)]
fn add(sums: &mut [f64], factor: f64, numbers: &[f64]) {
    if factor != 0.0 {
        sums.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += factor * x);
    }
}
