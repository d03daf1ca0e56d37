//! Rows of emissions under a chain of tags, and what is to be known of them, for [`crf`](super::crf).

use super::chain::Doubled;

/// Sums over rows of what a chain says of them.
pub(super) struct Expected {
    /// ln Z.
    pub(super) log_z: f64,
    /// How often each tag is expected to come first, each pair to come, each tag to come last.
    pub(super) start: Vec<f64>,
    pub(super) pairs: Vec<f64>,
    pub(super) end: Vec<f64>,
}

impl Expected {
    pub(super) fn zeros(tags: usize) -> Self {
        Self { log_z: 0.0, start: vec![0.0; tags], pairs: vec![0.0; tags * tags], end: vec![0.0; tags] }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.log_z += other.log_z;
        for (sums, more) in
            [(&mut self.start, &other.start), (&mut self.pairs, &other.pairs), (&mut self.end, &other.end)]
        {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
}

/// What is wrong with some rows.
pub(super) enum Wrong {
    /// An emission that counts is NaN or infinite.
    NotFinite,
    /// The chain rules out all sequences of a row.
    Nothing { row: usize },
}

/// exp(transitions − their largest), that largest, and the transpose.
pub(super) struct Shared {
    pub(super) top: f64,
    pub(super) exp: Vec<f64>,
    pub(super) transposed: Vec<f64>,
}

impl Shared {
    pub(super) fn new(chain: &Doubled) -> Self {
        let k = chain.tags;
        let top = chain.transitions.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let top = if top.is_finite() { top } else { 0.0 };
        let exp: Vec<f64> = chain.transitions.iter().map(|x| (x - top).exp()).collect();
        let transposed = (0..k * k).map(|i| exp[i % k * k + i / k]).collect();
        Self { top, exp, transposed }
    }
}

/// Some rows: a job.
pub(super) struct Rows<'a, T> {
    pub(super) chain: &'a Doubled,
    pub(super) shared: &'a Shared,
    pub(super) share: f64,
    /// Numbers of a row, T · K.
    pub(super) size: usize,
    /// The number of its first row.
    pub(super) first: usize,
    pub(super) lengths: &'a [usize],
    pub(super) emissions: &'a [T],
    pub(super) marginals: &'a mut [T],
    pub(super) out: Result<Expected, Wrong>,
}
