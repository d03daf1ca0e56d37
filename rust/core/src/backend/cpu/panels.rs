//! A matrix packed for [`scattered_products`].

pub(crate) use super::gemm::MOST_VECTORS;
use super::gemm::{Left, Start, scattered_products};
use super::scratch::Buffer;
use super::simd::{Factor, Isa, Panel, Sum};
use super::threads::{Crew, Matrix};
use std::ops::Range;

/// Rows of the left-hand matrix that pass through all panels together: they stay in the first
/// cache while the panels stream by.
const ROWS_AT_ONCE: usize = 48;

/// Numbers in a panel's row at most.
pub(crate) const WIDEST: usize = 16 * MOST_VECTORS;

/// Rows that are too few for a thread each: threads share their columns.
pub(crate) const FEW: usize = 4;

/// Bytes of panels that stay in the cache that a core has to itself from one step to the next.
pub(crate) const KEPT: usize = 512 << 10;
/// Rows multiplied by a panel, in all, from which on the next one can be fetched meanwhile: fewer are done
/// before it has come, and only wait for more.
const WORTH_FETCHING: usize = 8;

/// Terms of panels that are gone through before the next ones: a panel's stay in the cache that a core has to
/// itself, beside those of the next, while all rows pass.
const TERMS_AT_ONCE: usize = 512;
// Tiles sum sixteen factors of a run at a time, so where runs begin must not depend on the threads.
const _: () = assert!(TERMS_AT_ONCE.is_multiple_of(16));

/// Which of some groups of rows that go through the same panels side by side, or the first of two that do so
/// together.
#[derive(Clone, Copy)]
pub(crate) struct Nth {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl Nth {
    /// The only one.
    pub(crate) const ONLY: Self = Self { number: 0, of: 1 };
}

/// Some terms of a panel, and where what is multiplied after them begins: a panel and a term of it.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) panel: usize,
    terms: Range<usize>,
    next: (usize, usize),
}

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
        let (start, stride) =
            (index * self.widths[0] * self.terms * self.lanes, self.widths[index] * self.lanes);
        let data = &self.data[start..start + self.terms * stride];
        Panel { data, stride, vectors: self.widths[index], apart: self.lanes, ahead: &[] }
    }

    /// Columns of `count` panels that are one register wide.
    fn narrow(&self, first: usize, count: usize) -> Panel<'_, F> {
        let apart = self.terms * self.lanes;
        let data = &self.data[first * apart..][..count * apart];
        Panel { data, stride: self.lanes, vectors: count, apart, ahead: &[] }
    }

    /// The share of `groups` groups in what is multiplied after `panel` and lies at the start of `next`, if fetching
    /// it meanwhile is of use.
    fn ahead<'a>(
        &self,
        panel: &Panel<'_, F>,
        next: &'a [F],
        rows: usize,
        groups: usize,
        Nth { number, of }: Nth,
    ) -> &'a [F] {
        if rows * of < WORTH_FETCHING || size_of_val(&*self.data) <= KEPT {
            return &[];
        }
        let len = panel.data.len().min(next.len());
        &next[number * len / of..(number + groups) * len / of]
    }

    /// `c ← start + a · self` for some panels, all equally wide, and `rows` rows of `c`, `stride` apart, of one group
    /// or two; what belongs to a panel is `apart` from that of the next. Of narrow panels several are multiplied
    /// at a time, since a tile one register wide is done before its first sum is.
    pub(crate) fn run<S: Sum, const G: usize>(
        &self,
        isa: Isa,
        rows: usize,
        a: [Left<'_, F>; G],
        panels: Range<usize>,
        start: Start<'_, S>,
        mut c: [&mut [S]; G],
        [stride, apart]: [usize; 2],
        nth: Nth,
    ) where
        F: Factor<S>,
    {
        let width = self.widths[0];
        let at_once = if width == 1 { MOST_VECTORS } else { 1 };
        for first in panels.clone().step_by(at_once) {
            let (count, before) = (at_once.min(panels.end - first), first - panels.start);
            let mut panel = if width == 1 { self.narrow(first, count) } else { self.panel(first) };
            // After the last one comes the first, in the next step.
            let end = first * width * self.terms * self.lanes + panel.data.len();
            let next = if end < self.data.len() { &self.data[end..] } else { &self.data };
            panel.ahead = self.ahead(&panel, next, rows, G, nth);
            let start = match start {
                Start::Row(bias) => Start::Row(&bias[before * width * self.lanes..]),
                other => other,
            };
            let apart_of_registers = if width == 1 { apart } else { self.lanes };
            let c = c.each_mut().map(|c| &mut c[before * apart..]);
            scattered_products(isa, rows, a, panel, start, c, [stride, apart_of_registers]);
        }
    }

    /// A row of all panels, each a block.
    pub(crate) fn by_panel(&mut self) -> Matrix<'_, F> {
        let widest = self.widths.first().map_or(0, |vectors| vectors * self.lanes);
        Matrix { stride: self.data.len(), width: self.terms * widest, data: &mut self.data }
    }

    /// The panels of full width and the last one that is narrower, a row each, with so many terms in a block.
    pub(crate) fn by_terms(&mut self, count: usize) -> [Matrix<'_, F>; 2] {
        let last = self.widths.last().filter(|&&vectors| vectors < MOST_VECTORS);
        let sizes = [MOST_VECTORS * self.lanes, last.map_or(0, |vectors| vectors * self.lanes)];
        let end = self.data.len() - self.terms * sizes[1];
        let (full, last) = self.data.split_at_mut(end);
        let mut sizes = sizes.into_iter();
        [full, last].map(|data| {
            let width = sizes.next().unwrap_or(0);
            Matrix { data, stride: self.terms * width, width: count * width }
        })
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

    /// Where the columns of a panel begin.
    pub(crate) fn column(&self, index: usize) -> usize {
        self.widths.first().map_or(0, |vectors| index * vectors * self.lanes)
    }

    pub(crate) fn count(&self) -> usize {
        self.widths.len()
    }

    /// Pieces of the panels in the order in which products go through them.
    pub(crate) fn pieces(&self, a: Left<'_, F>) -> impl Iterator<Item = Piece> {
        let of_run = move |terms: Range<usize>| (0..self.count()).map(move |panel| (panel, terms.clone()));
        a.runs(TERMS_AT_ONCE).flat_map(of_run).map(|(panel, terms)| {
            let last = panel + 1 == self.count();
            let next = if last { (0, terms.end % self.terms.max(1)) } else { (panel + 1, terms.start) };
            Piece { panel, terms, next }
        })
    }

    /// Those of one panel alone, for `rows` rows in all.
    pub(crate) fn pieces_of(&self, panel: usize, a: Left<'_, F>, rows: usize) -> impl Iterator<Item = Piece> {
        // A few rows pass at once.
        let size = if rows <= FEW { usize::MAX } else { TERMS_AT_ONCE };
        a.runs(size).map(move |terms| {
            let last = terms.end >= self.terms;
            let next = if last { ((panel + 1) % self.count(), 0) } else { (panel, terms.end) };
            Piece { panel, terms, next }
        })
    }

    /// What some terms add to the columns of one panel of `c ← start + a · self`, for `rows` rows of one group or
    /// two, `c` from these columns on, row by row, `stride` apart.
    pub(crate) fn piece_product<S: Sum, const G: usize>(
        &self,
        Piece { panel: index, terms, next }: Piece,
        isa: Isa,
        rows: usize,
        a: [Left<'_, F>; G],
        start: Start<'_, S>,
        c: [&mut [S]; G],
        stride: usize,
        nth: Nth,
    ) where
        F: Factor<S>,
    {
        let mut panel = self.panel(index);
        panel.data = &panel.data[terms.start * panel.stride..terms.end * panel.stride];
        let (next, term) = (self.panel(next.0), next.1);
        panel.ahead = self.ahead(&panel, &next.data[term * next.stride..], rows, G, nth);
        let start = match start {
            _ if terms.start > 0 => Start::There,
            Start::Row(bias) => Start::Row(&bias[self.column(index)..]),
            other => other,
        };
        let a = a.map(|a| a.part(terms.clone()));
        scattered_products(isa, rows, a, panel, start, c, [stride, self.lanes]);
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
            let (a, c) = (a.skip(first), &mut c[first * stride..]);
            for piece in self.pieces(a) {
                let c = &mut c[self.column(piece.panel)..];
                self.piece_product(piece, isa, count, [a], start, [c], stride, Nth::ONLY);
            }
        }
    }
}

/// Panel widths, in registers, for `columns` columns.
fn widths(columns: usize, lanes: usize) -> Vec<usize> {
    let vectors = columns.div_ceil(lanes);
    (0..vectors).step_by(MOST_VECTORS).map(|v| MOST_VECTORS.min(vectors - v)).collect()
}
