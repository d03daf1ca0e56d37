//! The most likely labels for what a network gave for each step.
//!
//! `viterbi` finds the best tags of a chain; `ctc` reads labels from paths, by the best path or by a beam of
//! prefixes. Rows are dealt to the thread team; nothing is summed across them.

mod beam;
mod ctc;
mod viterbi;

pub use beam::{Beam, Hypothesis, LanguageScores, ctc_beam};
pub use ctc::{Reading, ctc_greedy};
pub use viterbi::{Tagging, viterbi};

use crate::device::Element;
use crate::error::{Error, Result};
use crate::losses::Places;
use crate::shape::{Shape, check_lengths};

/// The numbers (T, V) of each row, of the steps that count; all of them finite.
fn rows<'a, T: Element>(
    name: &'static str,
    numbers: &'a [T],
    width: usize,
    shape: Shape,
    lengths: Option<&[usize]>,
) -> Result<Vec<&'a [T]>> {
    let places = Places { shape: &[shape.batch, shape.steps, width], lengths, mask: None };
    if width == 0 {
        return Err(Error::value(name, "at least one class", 0));
    }
    places.same_size(name, numbers.len())?;
    let size = shape.steps * width;
    let rows = check_lengths(lengths, shape)?.enumerate();
    let rows: Vec<&[T]> = rows.map(|(row, steps)| &numbers[row * size..][..steps * width]).collect();
    if rows.iter().all(|row| row.iter().all(|x| x.is_finite())) {
        return Ok(rows);
    }
    Err(places.one_not_finite(name, numbers))
}

/// The first of the largest.
fn best(numbers: impl Iterator<Item = f64>) -> (usize, f64) {
    let first = (0, f64::NEG_INFINITY);
    numbers.enumerate().fold(first, |best, (i, x)| if x > best.1 { (i, x) } else { best })
}
