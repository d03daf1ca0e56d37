//! The best path, read as labels.

use super::{best, rows};
use crate::device::{Element, enter};
use crate::error::{Error, Result};
use crate::losses::log_sum;
use crate::shape::Shape;

/// Floating point operations for one logit.
const OPERATIONS: f64 = 20.0;

/// The labels that the best path of one row reads as.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Equal neighbours merged, blanks dropped.
    pub labels: Vec<i32>,
    /// The first step of each label.
    pub steps: Vec<i32>,
    /// ln P of the path, in nats: at most that of its labels, to which other paths add.
    pub log_p: f64,
}

/// The symbol of the largest logit of each step, and what these read as (Graves et al. 2006, section 3.2).
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit; [`Error::Value`] for a blank that is no class, or NaN or infinity
/// among the logits that count.
///
/// # Examples
/// ```
/// use seqrs::search::ctc_greedy;
/// use seqrs::shape::Shape;
/// // 1 1 _ 1, where _ is the blank
/// let logits = [0.0f32, 5.0, 0.0, 5.0, 5.0, 0.0, 0.0, 5.0];
/// let read = ctc_greedy(&logits, 2, Shape { batch: 1, steps: 4 }, None, 0)?;
/// assert_eq!((&read[0].labels[..], &read[0].steps[..]), (&[1, 1][..], &[0, 3][..]));
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn ctc_greedy<T: Element>(
    logits: &[T],
    classes: usize,
    shape: Shape,
    lengths: Option<&[usize]>,
    blank: usize,
) -> Result<Vec<Reading>> {
    let rows = rows("logits", logits, classes, shape, lengths)?;
    check_blank(blank, classes)?;
    let mut jobs: Vec<_> = rows.into_iter().map(|row| (row, Reading::default())).collect();
    enter(logits.len() as f64 * OPERATIONS, |crew| {
        crew.each(&mut jobs, |_, (logits, out)| {
            let mut last = blank;
            for (t, z) in logits.chunks_exact(classes).enumerate() {
                let (symbol, top) = best(z.iter().map(|z| z.to_f64()));
                out.log_p += top - log_sum(z.iter().map(|z| z.to_f64()));
                if symbol != blank && symbol != last {
                    out.labels.push(symbol as i32);
                    out.steps.push(t as i32);
                }
                last = symbol;
            }
        });
    })?;
    Ok(jobs.into_iter().map(|(_, reading)| reading).collect())
}

/// Refuses a blank that is no class.
pub(super) fn check_blank(blank: usize, classes: usize) -> Result<()> {
    if blank < classes {
        return Ok(());
    }
    Err(Error::value("blank", format!("one of {classes} classes, from 0 on"), blank))
}
