//! Weights packed for [`panel_product`]: kept beside the weights and made anew when they change.

use super::gemm::{Left, Panel, Start, panel_product};
use super::math::Elementary;
use super::scratch::Buffer;
use super::simd::Isa;
use super::threads::Crew;
use crate::float::Float;

/// Rows of the left-hand matrix that pass through all panels together: they stay in the first
/// cache while the panels stream by.
const ROWS_AT_ONCE: usize = 48;

/// Registers in a panel at most.
const MOST_VECTORS: usize = 4;

/// A matrix of `terms` rows cut into panels of columns, each stored term by term.
pub(crate) struct Panels<T> {
    data: Buffer<T>,
    terms: usize,
    lanes: usize,
    /// Registers in each panel.
    widths: Vec<usize>,
}

impl<T: Elementary> Panels<T> {
    /// Zeros, for `count` equal panels of `vectors` registers.
    pub(crate) fn equal(terms: usize, count: usize, vectors: usize, lanes: usize) -> Self {
        Self::with_widths(terms, vec![vectors; count], lanes)
    }

    /// Zeros, for as many columns as needed.
    pub(crate) fn columns(terms: usize, columns: usize, lanes: usize) -> Self {
        Self::with_widths(terms, widths(columns, lanes), lanes)
    }

    fn with_widths(terms: usize, widths: Vec<usize>, lanes: usize) -> Self {
        let size = terms * lanes * widths.iter().sum::<usize>();
        Self { data: Buffer::new(size), terms, lanes, widths }
    }

    /// Columns of one panel.
    pub(crate) fn panel(&self, index: usize) -> Panel<'_, T> {
        let before: usize = self.widths[..index].iter().sum();
        self.slice(before, self.widths[index])
    }

    fn slice(&self, before: usize, vectors: usize) -> Panel<'_, T> {
        let start = before * self.terms * self.lanes;
        let stride = vectors * self.lanes;
        Panel { data: &self.data[start..start + self.terms * stride], stride, vectors }
    }

    /// Fills every panel: `fill(panel, first column, columns, numbers)`.
    pub(crate) fn fill(&mut self, crew: Crew, fill: impl Fn(usize, usize, usize, &mut [T]) + Send + Sync) {
        let (mut rest, mut jobs, mut column) = (&mut *self.data, Vec::new(), 0);
        for width in self.widths.iter().map(|w| w * self.lanes) {
            let (panel, after) = rest.split_at_mut(width * self.terms);
            jobs.push((column, width, panel));
            (rest, column) = (after, column + width);
        }
        crew.each(&mut jobs, |i, (column, width, panel)| fill(i, *column, *width, panel));
    }

    /// `c ← start + a · self` for `rows` rows, `c` row by row, `stride` apart.
    pub(crate) fn product(
        &self,
        isa: Isa,
        rows: usize,
        a: Left<'_, T>,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        for first in (0..rows).step_by(ROWS_AT_ONCE) {
            let count = ROWS_AT_ONCE.min(rows - first);
            let a = a.skip(first);
            let mut before = 0;
            for &vectors in &self.widths {
                let column = before * self.lanes;
                let start = match start {
                    Start::Row(bias) => Start::Row(&bias[column..]),
                    other => other,
                };
                let c = &mut c[first * stride + column..];
                panel_product(isa, count, a, self.slice(before, vectors), start, c, stride);
                before += vectors;
            }
        }
    }
}

/// Room for a (rows, terms) weight and its transpose.
pub(crate) fn matrix<T: Elementary>(rows: usize, terms: usize, lanes: usize) -> [Panels<T>; 2] {
    [Panels::columns(terms, rows, lanes), Panels::columns(rows, terms, lanes)]
}

/// Packs a (rows, terms) weight, and its transpose.
pub(crate) fn pack_matrix<T: Elementary>(
    [forward, backward]: &mut [Panels<T>; 2],
    crew: Crew,
    weight: &[T],
    terms: usize,
) {
    let rows = weight.len() / terms;
    forward.fill(crew, |_, column, width, panel| {
        let count = width.min(rows - column);
        transpose_into(&weight[column * terms..][..count * terms], terms, panel, width, 0);
    });
    backward.fill(crew, |_, column, width, panel| {
        let count = width.min(terms - column);
        for (row, line) in weight.chunks_exact(terms).zip(panel.chunks_exact_mut(width)) {
            line[..count].copy_from_slice(&row[column..][..count]);
        }
    });
}

/// Panel widths, in registers, for `columns` columns.
pub(crate) fn widths(columns: usize, lanes: usize) -> Vec<usize> {
    let vectors = columns.div_ceil(lanes);
    (0..vectors).step_by(MOST_VECTORS).map(|v| MOST_VECTORS.min(vectors - v)).collect()
}

/// Copies column block `from` (rows of `terms` numbers, at most `lanes` of them) into a panel:
/// `panel[k * width + at + l] = from[l][k]`.
pub(crate) fn transpose_into<T: Float>(from: &[T], terms: usize, panel: &mut [T], width: usize, at: usize) {
    // Sixteen terms at a time: their panel lines stay in the first cache.
    for first in (0..terms).step_by(16) {
        let last = terms.min(first + 16);
        for (l, row) in from.chunks_exact(terms).enumerate() {
            for k in first..last {
                panel[k * width + at + l] = row[k];
            }
        }
    }
}
