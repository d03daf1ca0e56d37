//! A weight as signed bytes, for y = W x alone; nothing learns through it.
//!
//! ```text
//! w ≈ s q          q from −127 to 127; s of each output: max |w| / 127
//! x ≈ t (p − 128)  p from 1 to 255; t of each row: max |x| / 127
//! y = s t (Σ p q − 128 Σ q)
//! ```
//! The sums are of whole numbers, exact in any order: every instruction set has the same.

use super::gemm::Start;
use super::math::Elementary;
use super::panels::Panels;
use super::scratch::Buffer;
use super::simd::{Isa, Panel, Quad, Strides, Task, multiply};
use super::threads::Crew;

/// The largest whole number a byte stands for.
pub(super) const MOST: f64 = 127.0;

/// The weight.
pub(crate) struct Bytes<T> {
    panels: Panels<Quad>,
    /// Numbers in a panel but for the last one.
    width: usize,
    /// s and 128 Σ q of each column.
    scales: Buffer<T>,
    offsets: Buffer<i32>,
}

/// The left-hand matrix: p, row by row, and t of each row.
#[derive(Clone, Copy)]
pub(crate) struct ByteRows<'a> {
    data: &'a [u8],
    stride: usize,
    scales: &'a [f32],
}

impl<'a> ByteRows<'a> {
    /// The rows in `data`, of so many terms.
    pub(crate) fn of(data: &'a [u8], terms: usize, scales: &'a [f32]) -> Self {
        Self { data, stride: terms.next_multiple_of(4), scales }
    }
}

impl<T: Elementary> Bytes<T> {
    /// Room for `columns` columns (whole registers) in panels of `width`.
    pub(crate) fn new(panels: Panels<Quad>, columns: usize, width: usize) -> Self {
        Self { panels, width, scales: Buffer::new(columns), offsets: Buffer::new(columns) }
    }

    /// Packs a weight: `row(column)` are the numbers of an output, or nothing for a padded one.
    pub(crate) fn pack<'w>(&mut self, crew: Crew, row: impl Fn(usize) -> Option<&'w [T]> + Send + Sync) {
        for (column, (scale, offset)) in self.scales.iter_mut().zip(self.offsets.iter_mut()).enumerate() {
            let row = row(column).unwrap_or_default();
            *scale = T::from_f64(largest(row) / MOST);
            *offset = 128 * row.iter().map(|&w| i32::from(byte(w, *scale))).sum::<i32>();
        }
        let scales = &self.scales;
        self.panels.fill(crew, |_, first, width, panel| {
            for l in 0..width {
                let Some(row) = row(first + l) else { continue };
                let scale = scales[first + l];
                for (k, four) in row.chunks(4).enumerate() {
                    for (to, &w) in panel[k * width + l].iter_mut().zip(four) {
                        *to = byte(w, scale) as u8;
                    }
                }
            }
        });
    }

    /// Columns of a panel.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// `c ← start + a Wᵀ` for the columns of one panel.
    pub(crate) fn panel_product(
        &self,
        isa: Isa,
        rows: usize,
        a: ByteRows<'_>,
        panel: usize,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        let column = panel * self.width;
        let (scales, offsets) = (&self.scales[column..], &self.offsets[column..]);
        let panel = self.panels.panel(panel);
        isa.run(Product { rows, a, panel, scales, offsets, start, c, stride });
    }

    /// The same for all columns.
    pub(crate) fn product(
        &self,
        isa: Isa,
        rows: usize,
        a: ByteRows<'_>,
        start: Start<'_, T>,
        c: &mut [T],
        stride: usize,
    ) {
        for panel in 0..self.scales.len().div_ceil(self.width) {
            let column = panel * self.width;
            let start = match start {
                Start::Row(bias) => Start::Row(&bias[column..]),
                other => other,
            };
            self.panel_product(isa, rows, a, panel, start, &mut c[column..], stride);
        }
    }
}

/// The largest of some numbers without their signs; NaN where one is no number or infinite.
fn largest<T: Elementary>(numbers: &[T]) -> f64 {
    let finite = numbers.iter().all(|x| x.is_finite());
    if finite { numbers.iter().fold(0.0, |most, x| x.abs().to_f64().max(most)) } else { f64::NAN }
}

fn byte<T: Elementary>(w: T, scale: T) -> i8 {
    let q = (w / scale).to_f64().round();
    // 0 / 0 where all weights are 0.
    if q.is_nan() { 0 } else { q as i8 }
}

struct Product<'a, T> {
    rows: usize,
    a: ByteRows<'a>,
    panel: Panel<'a, Quad>,
    scales: &'a [T],
    offsets: &'a [i32],
    start: Start<'a, T>,
    c: &'a mut [T],
    stride: usize,
}

impl<T: Elementary> Task<T> for Product<'_, T> {
    const DOTS: bool = true;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(mut self) {
        match self.panel.vectors {
            1 => self.all_rows::<L, OPS, 1>(),
            2 => self.all_rows::<L, OPS, 2>(),
            3 => self.all_rows::<L, OPS, 3>(),
            4 => self.all_rows::<L, OPS, 4>(),
            n => unreachable!("a panel of {n} registers"),
        }
    }
}

impl<T: Elementary> Product<'_, T> {
    #[inline(always)]
    fn all_rows<const L: usize, const OPS: u8, const N: usize>(&mut self) {
        let mut row = 0;
        while row + 4 <= self.rows {
            self.tile::<L, OPS, 4, N>(row);
            row += 4;
        }
        while row < self.rows {
            self.tile::<L, OPS, 1, N>(row);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<const L: usize, const OPS: u8, const R: usize, const N: usize>(&mut self, row: usize) {
        let quads = self.a.stride / 4;
        let (a, _) = self.a.data[row * self.a.stride..].as_chunks::<4>();
        let at = Strides { row: quads, term: 1, block: 0 };
        let mut sums = [[[[0; L]; N]; R]];
        multiply::<i32, Quad, L, OPS, R, N, 1>(&mut sums, [a], [at], 1, quads, self.panel);
        let [sum] = sums;
        for r in 0..R {
            let t = T::from_f32(self.a.scales[row + r]);
            let c = &mut self.c[(row + r) * self.stride..][..N * L];
            for v in 0..N {
                let (s, offsets) = (&self.scales[v * L..][..L], &self.offsets[v * L..][..L]);
                let c = &mut c[v * L..][..L];
                for l in 0..L {
                    let before = match self.start {
                        Start::Zero => T::ZERO,
                        Start::There => c[l],
                        Start::Row(bias) => bias[v * L + l],
                    };
                    c[l] = before + s[l] * t * T::from_i32(sum[r][v][l] - offsets[l]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gemm::Left;
    use super::super::packed::{Packed, Room};
    use super::super::panels::Nth;
    use super::super::source::Weight;
    use super::super::threads;
    use super::*;
    use crate::backend::Precision;
    use crate::rng::{Kind, Stream};

    /// x Wᵀ in bytes on one instruction set, checked against the exact one.
    fn product<T: Elementary>(isa: Isa, [rows, terms, columns]: [usize; 3]) -> Vec<T> {
        let stream = Stream::new(9, Kind::Data, 0, 0);
        let draw = |n: usize, from: u64| -> Vec<T> {
            (0..n as u64).map(|i| T::from_f64(2.0 * stream.uniform(from + i) - 1.0)).collect()
        };
        let (x, w) = (draw(rows * terms, 0), draw(columns * terms, 1 << 20));
        let lanes = isa.lanes::<T>();
        let mut packed = Packed::<T>::matrix(Precision::Int8, columns, terms, lanes);
        threads::enter(0.0, |crew| packed.pack_matrix(crew, isa, Weight::Still(&w), terms))
            .expect("its own thread");
        let stride = columns.next_multiple_of(lanes);
        let half = T::from_f64(0.5);
        let (mut y, mut each) = (vec![half; rows * stride], vec![half; rows * stride]);
        let a = Left::rows(&x, terms, terms);
        packed.product(isa, rows, a, Start::There, &mut y, stride);
        let mut room = Room::default();
        packed.round(isa, rows, a, &mut room);
        for panel in 0..stride.div_ceil(4 * lanes) {
            let to = &mut each[panel * 4 * lanes..];
            let (panel, at) = (panel..panel + 1, [stride, 0]);
            packed.blocks_product(
                isa,
                rows,
                packed.operand(a, &room),
                panel,
                Start::There,
                to,
                at,
                Nth::ONLY,
            );
        }
        assert!(y == each);
        let bound = terms as f64 * (1.0 / MOST + 1e-6);
        let mut all = Vec::new();
        for (x, y) in x.chunks_exact(terms).zip(y.chunks_exact(stride)) {
            for (w, &y) in w.chunks_exact(terms).zip(y) {
                let exact: f64 = x.iter().zip(w).map(|(x, w)| x.to_f64() * w.to_f64()).sum();
                assert!((y.to_f64() - 0.5 - exact).abs() <= bound, "{isa:?} {} for {exact}", y.to_f64());
            }
            all.extend_from_slice(&y[..columns]);
            assert!(y[columns..].iter().all(|&padding| padding == half));
        }
        all
    }

    fn on_every_instruction_set<T: Elementary>(shape: [usize; 3]) {
        let all: Vec<_> = Isa::available().into_iter().map(|isa| product::<T>(isa, shape)).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{} {shape:?}", T::NAME);
    }

    #[test]
    fn products_are_the_same_on_every_instruction_set() {
        for rows in [1, 3, 4, 9] {
            for terms in [1, 3, 4, 17, 64, 513] {
                for columns in [1, 16, 17, 65, 130] {
                    on_every_instruction_set::<f32>([rows, terms, columns]);
                    on_every_instruction_set::<f64>([rows, terms, columns]);
                }
            }
        }
    }
}
