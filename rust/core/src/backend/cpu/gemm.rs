//! Matrix products over packed panels: the one place where weights are multiplied.
//!
//! The right-hand matrix is cut into panels of up to four registers of columns, each stored
//! term by term, so that a tile of rows × panel columns keeps all its sums in registers and
//! reads its panel in order. The order of every sum is the order of the terms.

use super::simd::{Factor, Isa, Strides, Sum, Task, multiply};

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

    /// The transpose of `terms` rows `stride` apart: its row i is their column i.
    pub(crate) fn columns(data: &'a [T], stride: usize, terms: usize) -> Self {
        Self { data, at: Strides { row: 1, term: stride, block: 0 }, blocks: 1, terms }
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

/// The right-hand matrix, or some of its columns: `vectors` (1 to 4) registers wide, its terms
/// `stride` and its registers `apart` from each other.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
    pub(crate) vectors: usize,
    pub(crate) apart: usize,
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
    scattered_product(isa, rows, a, panel, start, c, stride, isa.lanes::<S::Lane>());
}

/// The same, the registers of a row of `c` being `apart` from each other.
pub(crate) fn scattered_product<S: Sum, F: Factor<S>>(
    isa: Isa,
    rows: usize,
    a: Left<'_, F>,
    panel: Panel<'_, F>,
    start: Start<'_, S>,
    c: &mut [S],
    stride: usize,
    apart: usize,
) {
    if rows == 0 {
        return;
    }
    let most = isa.tile_rows(panel.vectors);
    isa.run(PanelProduct { most, rows, a, panel, start, c, stride, apart });
}

struct PanelProduct<'a, S, F> {
    most: usize,
    rows: usize,
    a: Left<'a, F>,
    panel: Panel<'a, F>,
    start: Start<'a, S>,
    c: &'a mut [S],
    stride: usize,
    apart: usize,
}

impl<S: Sum, F: Factor<S>> Task<S::Lane> for PanelProduct<'_, S, F> {
    const DOTS: bool = F::DOTS;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(mut self) {
        match self.panel.vectors {
            1 => self.tiles::<L, OPS, 1>(),
            2 => self.tiles::<L, OPS, 2>(),
            3 => self.tiles::<L, OPS, 3>(),
            4 => self.tiles::<L, OPS, 4>(),
            n => unreachable!("a panel of {n} registers"),
        }
    }
}

impl<S: Sum, F: Factor<S>> PanelProduct<'_, S, F> {
    /// Cuts the rows into tiles of even height: 16 rows are 6 + 5 + 5, not 6 + 6 + 4.
    #[inline(always)]
    fn tiles<const L: usize, const OPS: u8, const N: usize>(&mut self) {
        let count = self.rows.div_ceil(self.most);
        let mut row = 0;
        for tile in 0..count {
            let height = (self.rows - row).div_ceil(count - tile);
            match height {
                1 => self.tile::<L, OPS, 1, N>(row),
                2 => self.tile::<L, OPS, 2, N>(row),
                3 => self.tile::<L, OPS, 3, N>(row),
                4 => self.tile::<L, OPS, 4, N>(row),
                5 => self.tile::<L, OPS, 5, N>(row),
                7 if N < 4 => self.tile::<L, OPS, 7, N>(row),
                8 if N < 4 => self.tile::<L, OPS, 8, N>(row),
                _ => self.tile::<L, OPS, 6, N>(row),
            }
            row += height;
        }
    }

    #[inline(always)]
    fn tile<const L: usize, const OPS: u8, const R: usize, const N: usize>(&mut self, row: usize) {
        let mut sum = [[[S::default(); L]; N]; R];
        match self.start {
            Start::Zero => {}
            Start::There => {
                for r in 0..R {
                    for v in 0..N {
                        let at = (row + r) * self.stride + v * self.apart;
                        sum[r][v].copy_from_slice(&self.c[at..][..L]);
                    }
                }
            }
            Start::Row(bias) => {
                for r in 0..R {
                    for v in 0..N {
                        sum[r][v].copy_from_slice(&bias[v * L..(v + 1) * L]);
                    }
                }
            }
        }
        let Left { data, at, blocks, terms } = self.a.skip(row);
        let Panel { data: b, stride, apart, .. } = self.panel;
        multiply::<S, F, L, OPS, R, N>(&mut sum, data, at, blocks, terms, b, stride, apart);
        for r in 0..R {
            for v in 0..N {
                let at = (row + r) * self.stride + v * self.apart;
                self.c[at..][..L].copy_from_slice(&sum[r][v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_pass_through() {
        for isa in Isa::available() {
            let lanes = isa.lanes::<f32>();
            let (a, b) = ([f32::NAN, f32::INFINITY], vec![1.0_f32; lanes]);
            let mut c = vec![0.0; 2 * lanes];
            let panel = Panel { data: &b, stride: lanes, vectors: 1, apart: lanes };
            panel_product(isa, 2, Left::rows(&a, 1, 1), panel, Start::Zero, &mut c, lanes);
            assert!(c[0].is_nan() && c[lanes].is_infinite());
        }
    }
}
