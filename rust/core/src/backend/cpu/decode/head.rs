//! The logits after a step.

use super::super::linear::Linear;
use super::super::math::Elementary;
use super::super::packed::Room;
use super::super::panels::MOST_VECTORS;
use super::super::scratch::Rows;
use super::super::threads::{Crew, SHARE};

/// The logits of each text.
pub(super) struct Head<T> {
    vocabulary: usize,
    logits: Rows<T>,
    rounded: Room,
}

impl<T: Elementary> Head<T> {
    pub(super) fn new(rows: usize, vocabulary: usize, lanes: usize) -> Self {
        Self { vocabulary, logits: Rows::new(0, rows, vocabulary, lanes), rounded: Room::default() }
    }

    pub(super) fn logits(&self, row: usize) -> &[T] {
        &self.logits.at(row)[..self.vocabulary]
    }

    /// The logits of the first `rows` rows; of a single one several threads share the columns.
    pub(super) fn step(&mut self, linear: &Linear<T>, crew: Crew, rows: usize, x: &Rows<T>) {
        let x = linear.operand(rows, &x.data, x.stride, &mut self.rounded);
        let (stride, panel) = (self.logits.stride, MOST_VECTORS * linear.lanes());
        let panels = self.vocabulary.div_ceil(panel);
        let each = if rows == 1 { SHARE.div_ceil(linear.from * panel) } else { panels };
        let y = &mut self.logits.data[..rows * stride];
        let size = if rows == 1 { each * panel } else { y.len() };
        crew.chunks(y, size, |job, y| {
            for (i, number) in (job * each..panels.min((job + 1) * each)).enumerate() {
                linear.panel_product(rows, x, number, &mut y[i * panel..], stride);
            }
        });
    }
}
