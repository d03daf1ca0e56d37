//! Matrix products over packed panels: the one place where weights are multiplied.
//!
//! The right-hand matrix is cut into panels of up to four registers of columns, each stored
//! term by term, so that a tile of rows × panel columns keeps all its sums in registers and
//! reads its panel in order. The order of every sum is the order of the terms; tiles of bfloat16
//! (AMX) sum sixteen pairs of them at a time.

use super::simd::{Factor, Isa, Panel, Strides, Sum, Task, load_tile, multiply, store_tile};
use std::array::from_fn;
use std::ops::Range;

/// Registers in a panel at most.
pub(crate) const MOST_VECTORS: usize = 4;

/// The left-hand matrix: rows × (blocks · terms), anywhere in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) at: Strides,
    pub(crate) blocks: usize,
    pub(crate) terms: usize,
}

impl<'a, T> Left<'a, T> {
    /// Rows of `terms` numbers, `stride` apart.
    pub(crate) fn rows(data: &'a [T], stride: usize, terms: usize) -> Self {
        Self { data, at: Strides { row: stride, term: 1, block: 0 }, blocks: 1, terms }
    }

    /// Without its first `rows` rows.
    pub(crate) fn skip(self, rows: usize) -> Self {
        if self.blocks * self.terms == 0 {
            self
        } else {
            Self { data: &self.data[rows * self.at.row..], ..self }
        }
    }

    /// Its terms cut into runs of about `size`, whole blocks if there are several.
    pub(crate) fn runs(self, size: usize) -> impl Iterator<Item = Range<usize>> {
        let (all, block) = (self.blocks * self.terms, self.terms.max(1));
        let size = if self.blocks > 1 { (size / block).max(1) * block } else { size };
        (0..all.max(1)).step_by(size).map(move |first| first..all.min(first + size))
    }

    /// One of these runs of terms.
    pub(crate) fn part(self, run: Range<usize>) -> Self {
        if run.is_empty() {
            return self;
        }
        let (first, block) = (run.start % self.terms, run.start / self.terms);
        let data = &self.data[block * self.at.block + first * self.at.term..];
        let terms = run.len().min(self.terms);
        Self { data, blocks: run.len() / terms, terms, ..self }
    }

    /// The transpose of `terms` rows `stride` apart, their columns `row` apart: its row i is their column i.
    pub(crate) fn columns(data: &'a [T], [row, stride]: [usize; 2], terms: usize) -> Self {
        Self { data, at: Strides { row, term: stride, block: 0 }, blocks: 1, terms }
    }
}

/// What a product's sums start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// 0.
    Zero,
    /// What is there.
    There,
    /// One row for all (a bias).
    Row(&'a [T]),
}

/// `c ← start + a · panel` for `rows` rows of `c`, `stride` apart, which go on register by register.
pub(crate) fn panel_product<S: Sum, F: Factor<S>>(
    isa: Isa,
    rows: usize,
    a: Left<'_, F>,
    panel: Panel<'_, F>,
    start: Start<'_, S>,
    c: &mut [S],
    stride: usize,
) {
    scattered_products(isa, rows, [a], panel, start, [c], [stride, isa.lanes::<S::Lane>()]);
}

/// The same for `G` groups of so many rows, one or two. `strides`: from a row of `c` to the next, and from a register
/// of a row to the next. Two groups that fill fewer tiles together share them.
pub(crate) fn scattered_products<S: Sum, F: Factor<S>, const G: usize>(
    isa: Isa,
    rows: usize,
    a: [Left<'_, F>; G],
    panel: Panel<'_, F>,
    start: Start<'_, S>,
    c: [&mut [S]; G],
    strides: [usize; 2],
) {
    if rows == 0 {
        return;
    }
    let most = isa.tile_rows(panel.vectors, F::PAIRS);
    let tiles = isa.has_tiles() && F::TILES && a[0].blocks * a[0].terms > 0;
    let fewer = most >= 4 && rows.div_ceil(most / 2) < 2 * rows.div_ceil(most);
    let form = |a: Left<'_, F>| [a.at.row, a.at.term, a.blocks, a.terms];
    // Narrower panels have tiles of eight rows, which one group fills.
    if G == 2 && fewer && panel.vectors == MOST_VECTORS && !tiles && form(a[0]) == form(a[G - 1]) {
        return isa.run(PanelProduct { most: most / 2, rows, a, panel, start, c, strides });
    }
    let ahead = panel.ahead;
    for (number, (a, c)) in a.into_iter().zip(c).enumerate() {
        let ahead = &ahead[number * ahead.len() / G..(number + 1) * ahead.len() / G];
        let panel = Panel { ahead, ..panel };
        if !tiles {
            isa.run(PanelProduct { most, rows, a: [a], panel, start, c: [c], strides });
            continue;
        }
        assert!(a.at.term == 1 && a.blocks == 1, "rows that lie together");
        let none = [S::default(); 16];
        let start = match start {
            Start::Zero => Some((&none[..], 0)),
            Start::There => None,
            Start::Row(bias) => Some((bias, isa.lanes::<S::Lane>())),
        };
        F::multiply_tiles(rows, a.data, a.at.row, a.terms, panel, start, c, strides);
    }
}

/// `most`: rows of each group in a tile at most.
struct PanelProduct<'a, S, F, const G: usize> {
    most: usize,
    rows: usize,
    a: [Left<'a, F>; G],
    panel: Panel<'a, F>,
    start: Start<'a, S>,
    c: [&'a mut [S]; G],
    strides: [usize; 2],
}

impl<S: Sum, F: Factor<S>, const G: usize> Task<S::Lane> for PanelProduct<'_, S, F, G> {
    const DOTS: bool = F::DOTS;
    const PAIRS: bool = F::PAIRS;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(mut self) {
        match self.panel.vectors {
            MOST_VECTORS => self.tiles::<L, OPS, MOST_VECTORS>(),
            1 if G == 1 => self.tiles::<L, OPS, 1>(),
            2 if G == 1 => self.tiles::<L, OPS, 2>(),
            3 if G == 1 => self.tiles::<L, OPS, 3>(),
            n => unreachable!("{G} times a panel of {n} registers"),
        }
    }
}

impl<S: Sum, F: Factor<S>, const G: usize> PanelProduct<'_, S, F, G> {
    /// Cuts the rows into tiles of even height: 16 rows are 6 + 5 + 5, not 6 + 6 + 4. Each fetches its
    /// share of what comes next.
    #[inline(always)]
    fn tiles<const L: usize, const OPS: u8, const N: usize>(&mut self) {
        let count = self.rows.div_ceil(self.most);
        let (ahead, mut row) = (self.panel.ahead, 0);
        for tile in 0..count {
            self.panel.ahead = &ahead[tile * ahead.len() / count..(tile + 1) * ahead.len() / count];
            let height = (self.rows - row).div_ceil(count - tile);
            match height {
                1 => self.tile::<L, OPS, 1, N>(row),
                2 => self.tile::<L, OPS, 2, N>(row),
                3 => self.tile::<L, OPS, 3, N>(row),
                4 if G == 1 => self.tile::<L, OPS, 4, N>(row),
                5 if G == 1 => self.tile::<L, OPS, 5, N>(row),
                6 if G == 1 => self.tile::<L, OPS, 6, N>(row),
                7 if G == 1 && N < 4 => self.tile::<L, OPS, 7, N>(row),
                8 if G == 1 && N < 4 => self.tile::<L, OPS, 8, N>(row),
                n => unreachable!("{G} times {n} rows of a tile"),
            }
            row += height;
        }
    }

    #[inline(always)]
    fn tile<const L: usize, const OPS: u8, const R: usize, const N: usize>(&mut self, row: usize) {
        let ([stride, apart], start) = (self.strides, self.start);
        let mut sums: [[[[S; L]; N]; R]; G] = from_fn(|g| match start {
            Start::Zero => [[[S::default(); L]; N]; R],
            Start::There => load_tile(&self.c[g][row * stride..], [stride, apart]),
            Start::Row(bias) => load_tile(bias, [0, L]),
        });
        let Left { blocks, terms, .. } = self.a[0];
        let (a, at) = (self.a.map(|a| a.skip(row).data), self.a.map(|a| a.at));
        multiply::<S, F, L, OPS, R, N, G>(&mut sums, a, at, blocks, terms, self.panel);
        for (sums, c) in sums.iter().zip(&mut self.c) {
            store_tile(sums, &mut c[row * stride..], [stride, apart]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::Pair;
    use super::*;

    /// Where the terms of a row lie.
    fn places(left: Left<'_, usize>) -> Vec<usize> {
        let of_block =
            |block| (0..left.terms).map(move |k| left.data[block * left.at.block + k * left.at.term]);
        (0..left.blocks).flat_map(of_block).collect()
    }

    #[test]
    fn runs_make_up_the_whole() {
        let data: Vec<usize> = (0..5000).collect();
        for (blocks, terms, term) in
            [(1, 1, 1), (1, 700, 7), (9, 64, 1), (3, 48, 2), (40, 16, 1), (2, 600, 1)]
        {
            let at = Strides { row: 0, term, block: 120 };
            let all = Left { data: &data, at, blocks, terms };
            for size in [1, 50, 128, 512, 10_000] {
                let runs: Vec<_> = all.runs(size).collect();
                assert!(runs.iter().all(|run| blocks > 1 || run.len() <= size));
                let parts = runs.iter().flat_map(|run| places(all.part(run.clone())));
                assert_eq!(parts.collect::<Vec<_>>(), places(all), "{blocks} x {terms} by {size}");
            }
        }
        let none = Left::rows(&[0_usize; 0], 0, 0);
        assert_eq!(none.runs(512).map(|run| none.part(run).terms).sum::<usize>(), 0);
    }

    #[test]
    fn nan_and_infinity_pass_through() {
        for isa in Isa::available() {
            let lanes = isa.lanes::<f32>();
            let (a, b) = ([f32::NAN, f32::INFINITY], vec![1.0_f32; lanes]);
            let mut c = vec![0.0; 2 * lanes];
            let panel = Panel { data: &b, stride: lanes, vectors: 1, apart: lanes, ahead: &[] };
            panel_product(isa, 2, Left::rows(&a, 1, 1), panel, Start::Zero, &mut c, lanes);
            assert!(c[0].is_nan() && c[lanes].is_infinite());
            // The same of bfloat16, with the rows of more than one tile.
            let a: Vec<Pair> = (0..18).map(|row| Pair::new(a[row % 2], 0.0)).collect();
            let b = vec![Pair::new(1.0_f32, 1.0); lanes];
            let mut c = vec![0.0_f32; 18 * lanes];
            let panel = Panel { data: &b, stride: lanes, vectors: 1, apart: lanes, ahead: &[] };
            panel_product(isa, 18, Left::rows(&a, 1, 1), panel, Start::Zero, &mut c, lanes);
            for rows in c.chunks_exact(2 * lanes) {
                assert!(
                    rows[..lanes].iter().all(|x| x.is_nan()) && rows[lanes..].iter().all(|x| x.is_infinite())
                );
            }
        }
    }
}
