//! A matrix packed for [`panel_product`].

use super::gemm::{Left, Panel, Start, panel_product};
use super::scratch::Buffer;
use super::simd::{Factor, Isa, Sum};
use super::threads::Crew;

/// Rows of the left-hand matrix that pass through all panels together: they stay in the first
/// cache while the panels stream by.
const ROWS_AT_ONCE: usize = 48;

/// Registers in a panel at most.
pub(crate) const MOST_VECTORS: usize = 4;

/// A matrix of `terms` rows of factors cut into panels of columns, each stored term by term.
pub(crate) struct Panels<F> {
    data: Buffer<F>,
    terms: usize,
    lanes: usize,
    /// Registers in each panel: all alike, the last perhaps fewer.
    widths: Vec<usize>,
}

impl<F: Copy + Default + Send + Sync> Panels<F> {
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
    pub(crate) fn panel(&self, index: usize) -> Panel<'_, F> {
        // All but the last are equally wide.
        self.slice(index * self.widths[0], self.widths[index])
    }

    fn slice(&self, before: usize, vectors: usize) -> Panel<'_, F> {
        let start = before * self.terms * self.lanes;
        let stride = vectors * self.lanes;
        Panel { data: &self.data[start..start + self.terms * stride], stride, vectors }
    }

    /// Fills every panel: `fill(panel, first column, columns, numbers)`.
    pub(crate) fn fill(&mut self, crew: Crew, fill: impl Fn(usize, usize, usize, &mut [F]) + Send + Sync) {
        let (terms, most) = (self.terms, self.widths.first().map_or(0, |vectors| vectors * self.lanes));
        if terms * most > 0 {
            crew.chunks(&mut self.data, terms * most, |i, panel| {
                fill(i, i * most, panel.len() / terms, panel)
            });
        }
    }

    /// `c ← start + a · self` for one row, the panels shared by threads. `start` is no row.
    pub(crate) fn row<S: Sum>(&self, crew: Crew, isa: Isa, a: Left<'_, F>, start: Start<'_, S>, c: &mut [S])
    where
        F: Factor<S>,
    {
        let Some(widest) = self.widths.first().map(|vectors| vectors * self.lanes) else { return };
        let all = self.widths.iter().sum::<usize>() * self.lanes;
        crew.chunks(&mut c[..all], widest, |index, c| {
            panel_product(isa, 1, a, self.panel(index), start, c, widest);
        });
    }

    /// `c ← start + a · self` for `rows` rows, `c` row by row, `stride` apart.
    pub(crate) fn product<S: Sum>(
        &self,
        isa: Isa,
        rows: usize,
        a: Left<'_, F>,
        start: Start<'_, S>,
        c: &mut [S],
        stride: usize,
    ) where
        F: Factor<S>,
    {
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

/// Panel widths, in registers, for `columns` columns.
fn widths(columns: usize, lanes: usize) -> Vec<usize> {
    let vectors = columns.div_ceil(lanes);
    (0..vectors).step_by(MOST_VECTORS).map(|v| MOST_VECTORS.min(vectors - v)).collect()
}
