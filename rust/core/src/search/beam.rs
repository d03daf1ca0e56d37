//! Labels from paths by a beam of prefixes (Graves 2012, section 7.5.3; Hannun et al. 2014), with or
//! without a language model.
//!
//! Many paths read as the same labels. So the beam holds *prefixes* of labels, and of each the summed
//! probability of the paths so far that read as it: those that end in a blank, and those that end in its
//! last label, since only the former may have that label once more as a new one. A prefix y is ranked by
//!
//! ln P(y | logits) + α ln P(y | language) + β |y|.

use super::ctc::check_blank;
use super::rows;
use crate::device::{Crew, Element, enter};
use crate::error::{Error, Result};
use crate::losses::log_sum;
use crate::shape::Shape;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Floating point operations for one prefix and label at one step.
const OPERATIONS: f64 = 15.0;

/// How wide the search is, and what it ranks by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beam {
    /// Prefixes that are kept after each step.
    pub width: usize,
    /// Hypotheses that come back for each row, at most.
    pub hypotheses: usize,
    /// α, the weight of the language model.
    pub alpha: f64,
    /// β, what each label is worth.
    pub beta: f64,
}

/// Labels of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Equal neighbours merged, blanks dropped.
    pub labels: Vec<i32>,
    /// What the beam ranks by, in nats.
    pub score: f64,
    /// ln P(labels | logits) over the paths that the beam held, in nats; with a beam that holds all prefixes
    /// it is minus the loss of [`ctc`](crate::losses::ctc).
    pub log_p: f64,
}

/// What a language model says of the labels to come.
///
/// It is asked once a step for all prefixes that are new in the beams of all rows, and answers for each
/// prefix with V numbers: ln P of each label as the next one; in the place of the blank, which is no label,
/// ln P of the end, or 0 for a model that has none.
pub type LanguageScores<'a> = &'a mut dyn FnMut(&[Vec<i32>]) -> Result<Vec<f64>>;

/// The labels of each row of logits (B, T, V) that are best by a beam, best first.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit; [`Error::Value`] for a blank that is no class, a width of 0,
/// weights that are not finite or an α below 0, NaN or infinity among the logits that count, or a language model that answers
/// with NaN, +∞ or too few numbers. Errors of the language model itself are passed on.
///
/// # Examples
/// ```
/// use seqrs::search::{Beam, ctc_beam};
/// use seqrs::shape::Shape;
/// // The best path is "blank, blank" (0.36), yet most paths (0.64) read as one label.
/// let z = [0.6f64.ln(), 0.4f64.ln()].repeat(2);
/// let beam = Beam { width: 4, hypotheses: 2, alpha: 0.0, beta: 0.0 };
/// let rows = ctc_beam(&z, 2, Shape { batch: 1, steps: 2 }, None, 0, beam, None)?;
/// assert_eq!(rows[0][0].labels, [1]);
/// assert!((rows[0][0].log_p.exp() - 0.64).abs() < 1e-12);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn ctc_beam<T: Element>(
    logits: &[T],
    classes: usize,
    shape: Shape,
    lengths: Option<&[usize]>,
    blank: usize,
    beam: Beam,
    language: Option<LanguageScores<'_>>,
) -> Result<Vec<Vec<Hypothesis>>> {
    let rows = rows("logits", logits, classes, shape, lengths)?;
    check_blank(blank, classes)?;
    if beam.width == 0 {
        return Err(Error::value("beam_width", "at least 1", 0));
    }
    // Times a negative weight, what cannot be would be the best there is.
    if !(beam.alpha >= 0.0 && beam.alpha.is_finite()) {
        return Err(Error::value("alpha", "a finite number of at least 0", beam.alpha));
    }
    if !beam.beta.is_finite() {
        return Err(Error::value("beta", "a finite number", beam.beta));
    }
    let mut rows: Vec<_> = rows.into_iter().map(|row| Row::new(row, classes, blank, beam)).collect();
    let operations = |steps: usize| (shape.batch * steps * classes) as f64 * beam.width as f64 * OPERATIONS;
    let advance = |rows: &mut [Row<'_, T>], steps: Range<usize>| {
        enter(operations(steps.len()), |crew: Crew| {
            crew.each(rows, |_, row| steps.clone().for_each(|t| row.step(t)));
        })
    };
    match language {
        None => advance(&mut rows, 0..shape.steps)?,
        Some(language) => {
            ask(&mut rows, classes, language)?;
            for t in 0..shape.steps {
                advance(&mut rows, t..t + 1)?;
                ask(&mut rows, classes, language)?;
            }
        }
    }
    Ok(rows.iter().map(Row::hypotheses).collect())
}

/// Asks for what may follow the prefixes of which that is not known.
fn ask<T: Element>(rows: &mut [Row<'_, T>], classes: usize, language: LanguageScores<'_>) -> Result<()> {
    let mut prefixes = Vec::new();
    for row in rows.iter() {
        let new = row.beam.iter().filter(|prefix| prefix.next.is_none());
        prefixes.extend(new.map(|prefix| row.labels(prefix.node)));
    }
    if prefixes.is_empty() {
        return Ok(());
    }
    let scores = language(&prefixes)?;
    if scores.len() != prefixes.len() * classes {
        let expected = format!("({}, {classes})", prefixes.len());
        return Err(Error::shape("language scores", expected, &[scores.len()]));
    }
    if let Some(wrong) = scores.iter().find(|score| score.is_nan() || **score == f64::INFINITY) {
        return Err(Error::value("language scores", "log-probabilities", wrong));
    }
    let unknown = rows.iter_mut().flat_map(|row| &mut row.beam).filter(|prefix| prefix.next.is_none());
    for (prefix, scores) in unknown.zip(scores.chunks_exact(classes)) {
        prefix.next = Some(scores.into());
    }
    Ok(())
}

/// Labels in the beam.
#[derive(Clone)]
struct Prefix {
    /// Where its last label is.
    node: usize,
    /// ln of the sum over its paths that end in a blank, and that end in its last label.
    after_blank: f64,
    after_label: f64,
    /// ln P(labels | language).
    language: f64,
    /// Its number of labels.
    count: usize,
    /// ln P of what may follow, where a language model was asked.
    next: Option<Arc<[f64]>>,
}

impl Prefix {
    fn log_p(&self) -> f64 {
        log_sum([self.after_blank, self.after_label].into_iter())
    }

    fn score(&self, beam: Beam) -> f64 {
        self.log_p() + weighted(beam.alpha, self.language) + beam.beta * self.count as f64
    }
}

/// α · ln P, where a weight of 0 also silences −∞.
fn weighted(alpha: f64, log_p: f64) -> f64 {
    if alpha == 0.0 { 0.0 } else { alpha * log_p }
}

/// The search in one row.
struct Row<'a, T> {
    logits: &'a [T],
    classes: usize,
    blank: usize,
    settings: Beam,
    /// (Where the labels before it are, the label) of each prefix that ever was in the beam; the first has none.
    nodes: Vec<(usize, usize)>,
    /// The place among them of each but the first, so that a prefix that comes back is the one it was.
    known: HashMap<(usize, usize), usize>,
    beam: Vec<Prefix>,
}

impl<'a, T: Element> Row<'a, T> {
    fn new(logits: &'a [T], classes: usize, blank: usize, settings: Beam) -> Self {
        let empty = Prefix {
            node: 0,
            after_blank: 0.0,
            after_label: f64::NEG_INFINITY,
            language: 0.0,
            count: 0,
            next: None,
        };
        Self {
            logits,
            classes,
            blank,
            settings,
            nodes: vec![(0, blank)],
            known: HashMap::new(),
            beam: vec![empty],
        }
    }

    /// Reads step `t`, where the row has one.
    fn step(&mut self, t: usize) {
        let Some(z) = self.logits.chunks_exact(self.classes).nth(t) else { return };
        let z: Vec<f64> = z.iter().map(|z| z.to_f64()).collect();
        let all = log_sum(z.iter().copied());
        let log_p: Vec<f64> = z.iter().map(|z| z - all).collect();

        // What stays as it is, by a blank or by its last label once more.
        let mut stay: Vec<Prefix> = self.beam.clone();
        let mut held = HashMap::with_capacity(stay.len());
        for (i, prefix) in stay.iter_mut().enumerate() {
            let (_, label) = self.nodes[prefix.node];
            prefix.after_blank = prefix.log_p() + log_p[self.blank];
            prefix.after_label += log_p[label]; // −∞ for the first, which has no label
            held.insert(prefix.node, i);
        }
        // What becomes longer: where that is in the beam, its paths join those that stay.
        let mut longer = Vec::new();
        for prefix in &self.beam {
            let (_, last) = self.nodes[prefix.node];
            let both = prefix.log_p();
            for label in (0..self.classes).filter(|&label| label != self.blank) {
                let paths = if label == last { prefix.after_blank } else { both } + log_p[label];
                let known = self.known.get(&(prefix.node, label));
                if let Some(&i) = known.and_then(|node| held.get(node)) {
                    stay[i].after_label = log_sum([stay[i].after_label, paths].into_iter());
                } else if paths > f64::NEG_INFINITY {
                    let language = prefix.language + prefix.next.as_ref().map_or(0.0, |next| next[label]);
                    let count = prefix.count + 1;
                    let score =
                        paths + weighted(self.settings.alpha, language) + self.settings.beta * count as f64;
                    longer.push((score, paths, language, prefix.node, label, count));
                }
            }
        }

        // The best of both, in an order that does not depend on how it was found.
        let scores = stay.iter().map(|prefix| prefix.score(self.settings));
        let scores: Vec<f64> = scores.chain(longer.iter().map(|longer| longer.0)).collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let before = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if order.len() > self.settings.width {
            order.select_nth_unstable_by(self.settings.width - 1, before);
            order.truncate(self.settings.width);
        }
        order.sort_unstable_by(before);
        self.beam = order
            .into_iter()
            .map(|i| {
                let Some(i) = i.checked_sub(stay.len()) else { return stay[i].clone() };
                let (_, after_label, language, parent, label, count) = longer[i];
                let node = *self.known.entry((parent, label)).or_insert(self.nodes.len());
                if node == self.nodes.len() {
                    self.nodes.push((parent, label));
                }
                let after_blank = f64::NEG_INFINITY;
                Prefix { node, after_blank, after_label, language, count, next: None }
            })
            .collect();
    }

    fn labels(&self, mut node: usize) -> Vec<i32> {
        let mut labels = Vec::new();
        while node > 0 {
            let (parent, label) = self.nodes[node];
            labels.push(label as i32);
            node = parent;
        }
        labels.reverse();
        labels
    }

    /// What is in the beam after the last step, with what the end is worth.
    fn hypotheses(&self) -> Vec<Hypothesis> {
        let mut all: Vec<Hypothesis> = self
            .beam
            .iter()
            .map(|prefix| {
                let end = prefix.next.as_ref().map_or(0.0, |next| next[self.blank]);
                Hypothesis {
                    labels: self.labels(prefix.node),
                    score: prefix.score(self.settings) + weighted(self.settings.alpha, end),
                    log_p: prefix.log_p(),
                }
            })
            .collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.truncate(self.settings.hypotheses);
        all
    }
}
