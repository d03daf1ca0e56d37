//! Matrix products over packed panels: the one place where weights are multiplied.
//!
//! The right-hand matrix is cut into panels of up to four registers of columns, each stored
//! term by term, so that a tile of rows × panel columns keeps all its sums in registers and
//! reads its panel in order. The order of every sum is the order of the terms.

use super::math::Elementary;
use super::simd::{Isa, Strides, Task, multiply};

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
/// `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
    pub(crate) vectors: usize,
}

/// `c ← start + a · panel` for `rows` rows of `c`, `stride` apart.
pub(crate) fn panel_product<T: Elementary>(
    isa: Isa,
    rows: usize,
    a: Left<'_, T>,
    panel: Panel<'_, T>,
    start: Start<'_, T>,
    c: &mut [T],
    stride: usize,
) {
    if rows == 0 {
        return;
    }
    isa.run(PanelProduct { most: isa.tile_rows(), rows, a, panel, start, c, stride });
}

struct PanelProduct<'a, T> {
    most: usize,
    rows: usize,
    a: Left<'a, T>,
    panel: Panel<'a, T>,
    start: Start<'a, T>,
    c: &'a mut [T],
    stride: usize,
}

impl<T: Elementary> Task<T> for PanelProduct<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const FMA: bool>(mut self) {
        match self.panel.vectors {
            1 => self.tiles::<L, FMA, 1>(),
            2 => self.tiles::<L, FMA, 2>(),
            3 => self.tiles::<L, FMA, 3>(),
            4 => self.tiles::<L, FMA, 4>(),
            n => unreachable!("a panel of {n} registers"),
        }
    }
}

impl<T: Elementary> PanelProduct<'_, T> {
    /// Cuts the rows into tiles of even height: 16 rows are 6 + 5 + 5, not 6 + 6 + 4.
    #[inline(always)]
    fn tiles<const L: usize, const FMA: bool, const N: usize>(&mut self) {
        let count = self.rows.div_ceil(self.most);
        let mut row = 0;
        for tile in 0..count {
            let height = (self.rows - row).div_ceil(count - tile);
            match height {
                1 => self.tile::<L, FMA, 1, N>(row),
                2 => self.tile::<L, FMA, 2, N>(row),
                3 => self.tile::<L, FMA, 3, N>(row),
                4 => self.tile::<L, FMA, 4, N>(row),
                5 => self.tile::<L, FMA, 5, N>(row),
                _ => self.tile::<L, FMA, 6, N>(row),
            }
            row += height;
        }
    }

    #[inline(always)]
    fn tile<const L: usize, const FMA: bool, const R: usize, const N: usize>(&mut self, row: usize) {
        let width = N * L;
        let mut sum = [[[T::ZERO; L]; N]; R];
        match self.start {
            Start::Zero => {}
            Start::There => {
                for r in 0..R {
                    let line = &self.c[(row + r) * self.stride..][..width];
                    for v in 0..N {
                        sum[r][v].copy_from_slice(&line[v * L..(v + 1) * L]);
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
        multiply::<T, L, FMA, R, N>(&mut sum, data, at, blocks, terms, self.panel.data, self.panel.stride);
        for r in 0..R {
            let line = &mut self.c[(row + r) * self.stride..][..width];
            for v in 0..N {
                line[v * L..(v + 1) * L].copy_from_slice(&sum[r][v]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::panels::{Panels, transpose_into};
    use super::super::threads;
    use super::*;
    use ndarray::{Array2, s};

    /// Small numbers whose products and sums a float holds exactly: every order of a sum agrees.
    fn matrix(rows: usize, columns: usize, salt: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 7 + j * 13 + salt) % 9) as f64 - 4.0)
    }

    fn check<T: Elementary>(isa: Isa, rows: usize, terms: usize, columns: usize) {
        let (a, b) = (matrix(rows, terms, 1), matrix(terms, columns, 2));
        let cast = |m: &Array2<f64>| m.iter().map(|&x| T::from_f64(x)).collect::<Vec<T>>();
        let lanes = isa.lanes::<T>();
        let mut panels = Panels::<T>::columns(terms, columns, lanes);
        let transposed = cast(&b.t().to_owned());
        threads::enter(0.0, |crew| {
            panels.fill(crew, |_, column, width, panel| {
                let count = width.min(columns - column);
                transpose_into(&transposed[column * terms..][..count * terms], terms, panel, width, 0);
            });
        })
        .expect("a call on its own thread");
        let stride = columns.next_multiple_of(lanes);
        let left = cast(&a);
        let turned = cast(&a.t().to_owned());
        let start: Vec<T> = (0..rows * stride).map(|i| T::from_f64((i % 5) as f64)).collect();
        for from in [Left::rows(&left, terms, terms), Left::columns(&turned, rows, terms)] {
            let mut c = start.clone();
            panels.product(isa, rows, from, Start::There, &mut c, stride);
            let before = Array2::from_shape_fn((rows, stride), |(i, j)| ((i * stride + j) % 5) as f64);
            let want = a.dot(&b) + before.slice(s![.., ..columns]);
            for ((i, j), &want) in want.indexed_iter() {
                assert_eq!(c[i * stride + j].to_f64(), want, "{isa:?} {rows}x{terms}x{columns} at {i},{j}");
            }
            // Columns beyond the matrix are products with zeros.
            for (i, row) in c.chunks_exact(stride).enumerate() {
                assert_eq!(row[columns..], start[i * stride + columns..(i + 1) * stride]);
            }
        }
    }

    #[test]
    fn products_equal_the_oracle_on_every_instruction_set() {
        for isa in Isa::available() {
            for rows in [1, 2, 3, 4, 5, 6, 7, 12, 13, 50] {
                for terms in [1, 2, 3, 15, 16, 17, 64, 127, 513] {
                    for columns in [1, 7, 16, 17, 64, 65, 130] {
                        check::<f32>(isa, rows, terms, columns);
                        check::<f64>(isa, rows, terms, columns);
                    }
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_pass_through() {
        for isa in Isa::available() {
            let lanes = isa.lanes::<f32>();
            let (a, b) = ([f32::NAN, f32::INFINITY], vec![1.0_f32; lanes]);
            let mut c = vec![0.0; 2 * lanes];
            let panel = Panel { data: &b, stride: lanes, vectors: 1 };
            panel_product(isa, 2, Left::rows(&a, 1, 1), panel, Start::Zero, &mut c, lanes);
            assert!(c[0].is_nan() && c[lanes].is_infinite());
        }
    }
}
