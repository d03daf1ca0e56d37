//! The tags of a chain that score highest (Viterbi 1967).

use super::{best, rows};
use crate::device::{Element, enter};
use crate::error::{Error, Result};
use crate::losses::Chain;
use crate::shape::Shape;

/// Floating point operations for a pair of tags at one step.
const OPERATIONS: f64 = 2.0;

/// The best tags of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagging {
    /// One a step; of those that score alike the lowest.
    pub tags: Vec<i32>,
    /// Their score, as in [`crf`](crate::losses::crf); 0 for a row without steps.
    pub score: f64,
}

/// The tags of each row of emissions (B, T, K) that score highest among those that the chain allows.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit; [`Error::Value`] for NaN or infinity among the emissions that
/// count, or a row of which the chain rules everything out.
///
/// # Examples
/// ```
/// use seqrs::losses::Chain;
/// use seqrs::search::viterbi;
/// use seqrs::shape::Shape;
/// // The second step would rather be 0, but changing costs 3.
/// let chain = Chain { start: &[0.0, 0.0], transitions: &[0.0, -3.0, -3.0, 0.0], end: &[0.0f32; 2] };
/// let emissions = [0.0, 4.0, 1.0, 0.0, 0.0, 4.0];
/// let best = viterbi(&emissions, &chain, Shape { batch: 1, steps: 3 }, None)?;
/// assert_eq!((&best[0].tags[..], best[0].score), (&[1, 1, 1][..], 8.0));
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn viterbi<T: Element>(
    emissions: &[T],
    chain: &Chain<'_, T>,
    shape: Shape,
    lengths: Option<&[usize]>,
) -> Result<Vec<Tagging>> {
    chain.check(emissions, shape)?;
    let (scores, k) = (chain.in_double(), chain.tags());
    let rows = rows("emissions", emissions, k, shape, lengths)?;
    let operations = rows.iter().map(|row| row.len() as f64 * k as f64 * OPERATIONS).sum();
    let mut jobs: Vec<_> =
        rows.into_iter().map(|row| (row, Tagging { tags: Vec::new(), score: 0.0 })).collect();
    enter(operations, |crew| {
        crew.each(&mut jobs, |_, (emissions, out)| {
            let steps = emissions.len() / k;
            if steps == 0 {
                return;
            }
            // The best score of all beginnings that end in each tag, and the tag before that one.
            let mut score: Vec<f64> = (0..k).map(|j| scores.start[j] + emissions[j].to_f64()).collect();
            let mut before = vec![0_u32; steps * k];
            let mut next = vec![0.0; k];
            for (t, emissions) in emissions.chunks_exact(k).enumerate().skip(1) {
                let before = &mut before[t * k..(t + 1) * k];
                next.fill(f64::NEG_INFINITY);
                for i in 0..k {
                    let pairs = &scores.transitions[i * k..(i + 1) * k];
                    for j in 0..k {
                        let through = score[i] + pairs[j];
                        if through > next[j] {
                            (next[j], before[j]) = (through, i as u32);
                        }
                    }
                }
                for j in 0..k {
                    score[j] = next[j] + emissions[j].to_f64();
                }
            }
            let (mut tag, total) = best(score.iter().zip(&scores.end).map(|(score, end)| score + end));
            let mut tags = vec![tag as i32; steps];
            for t in (1..steps).rev() {
                tag = before[t * k + tag] as usize;
                tags[t - 1] = tag as i32;
            }
            *out = Tagging { tags, score: total };
        });
    })?;
    let taggings: Vec<Tagging> = jobs.into_iter().map(|(_, tagging)| tagging).collect();
    match taggings.iter().position(|tagging| tagging.score == f64::NEG_INFINITY) {
        None => Ok(taggings),
        Some(row) => {
            let got = format!("none of the {} steps of row {row}", taggings[row].tags.len());
            Err(Error::value("transitions", "a chain that allows some sequence", got))
        }
    }
}
