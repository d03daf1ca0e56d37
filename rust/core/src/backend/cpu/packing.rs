//! Writing a weight and its transpose into panels, as floats or as pairs of bfloat16: a strip of rows at a
//! time, right after the strip has been updated, where it has to be, so that it comes from a cache.

use super::math::Elementary;
use super::panels::{MOST_VECTORS, Panels};
use super::simd::{Factor, Isa, Pack, Pair, Task, turn};
use super::source::Weight;
use super::threads::{Block, Crew};
use crate::float::Float;
use std::array::from_fn;

/// What a weight is packed as.
pub(super) trait Packing<T: Float>: Factor<T> {
    /// Terms of a sum in one factor.
    const TERMS: usize;
    /// `L` factors of a row from factor `first` on, of zeros beyond its end.
    fn along<const L: usize, const OPS: u8>(row: &[T], first: usize) -> [Self; L];
    /// A panel's line from columns `column ..` of at most `TERMS` rows of `terms` numbers.
    fn across<const L: usize, const OPS: u8>(rows: &[T], terms: usize, column: usize, line: &mut [Self]);
}

impl<T: Float> Packing<T> for T {
    const TERMS: usize = 1;
    #[inline(always)]
    fn along<const L: usize, const OPS: u8>(row: &[T], first: usize) -> [Self; L] {
        let rest = &row[first..];
        match rest.first_chunk() {
            Some(&whole) => whole,
            None => from_fn(|l| rest.get(l).copied().unwrap_or(T::ZERO)),
        }
    }
    #[inline(always)]
    fn across<const L: usize, const OPS: u8>(row: &[T], _terms: usize, column: usize, line: &mut [Self]) {
        line.copy_from_slice(&row[column..][..line.len()]);
    }
}

impl<T: Float> Packing<T> for Pair {
    const TERMS: usize = 2;
    #[inline(always)]
    fn along<const L: usize, const OPS: u8>(row: &[T], first: usize) -> [Self; L] {
        let rest = &row[2 * first..];
        if rest.len() >= 2 * L {
            let halves = [Pack::<T, L>::load(rest).0, Pack::<T, L>::load(&rest[L..]).0];
            return Self::neighbours::<T, L, OPS>(halves);
        }
        let term = |k: usize| rest.get(k).copied().unwrap_or(T::ZERO);
        from_fn(|l| Self::new(term(2 * l), term(2 * l + 1)))
    }
    #[inline(always)]
    fn across<const L: usize, const OPS: u8>(rows: &[T], terms: usize, column: usize, line: &mut [Self]) {
        let (first, second) = rows.split_at(terms);
        let (first, second) = (&first[column..][..line.len()], second.get(column..).unwrap_or_default());
        let (whole, rest) = line.as_chunks_mut::<L>();
        let done = whole.len() * L;
        for (at, to) in (0..).step_by(L).zip(whole) {
            let below = if second.is_empty() { [T::ZERO; L] } else { Pack::<T, L>::load(&second[at..]).0 };
            *to = Self::zip::<T, L, OPS>(Pack::<T, L>::load(&first[at..]).0, below);
        }
        for (k, to) in (done..).zip(rest) {
            *to = Self::new(first[k], second.get(k).copied().unwrap_or(T::ZERO));
        }
    }
}

/// Which rows of a weight are columns of the same panel: of each of some gates, `strip` rows.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The gates, in the order of their columns.
    pub(super) gates: &'a [usize],
    /// Rows of a gate.
    pub(super) of_gate: usize,
    pub(super) strip: usize,
}

impl Rows<'_> {
    /// The row that is a column of the panels, if it is there.
    pub(super) fn of_column(&self, column: usize) -> Option<usize> {
        let Self { gates, of_gate, strip } = *self;
        let (part, lane) = (column / strip, column % strip);
        let unit = part / gates.len() * strip + lane;
        (unit < of_gate).then(|| gates[part % gates.len()] * of_gate + unit)
    }
}

/// Packs a (rows, terms) weight, and its transpose.
pub(super) fn pack<T: Elementary, F: Packing<T>>(
    [forward, backward]: &mut [Panels<F>; 2],
    crew: Crew,
    isa: Isa,
    weight: Weight<'_, T>,
    terms: usize,
    Rows { gates, of_gate, strip }: Rows,
) {
    if terms == 0 {
        return;
    }
    let (weight, numbers) = weight.lend(of_gate * terms, strip * terms);
    let factors = terms.div_ceil(F::TERMS);
    let [wide, last] = backward.by_terms(gates.len() * strip / F::TERMS);
    let panels = [forward.by_panel(), wide, last];
    crew.blocks(of_gate.div_ceil(strip), numbers, panels, &|block, mut numbers, [mut panel, wide, last]| {
        let (panel, mut turned) = (panel.row(0), [wide, last]);
        let width = panel.len() / factors;
        for (i, &gate) in gates.iter().enumerate() {
            let first = gate * of_gate + block * strip;
            let count = strip.min(of_gate - block * strip);
            let rows = weight.row(&mut numbers, gate, first * terms..(first + count) * terms);
            let panel = &mut panel[i * strip..];
            isa.run(Strip { rows, terms, panel, width, turned: &mut turned, line: i * strip / F::TERMS });
        }
    });
}

/// A strip of rows into a panel as columns, and into lines of the transpose's panels.
struct Strip<'a, 'b, T, F> {
    rows: &'a [T],
    terms: usize,
    panel: &'a mut [F],
    width: usize,
    /// Those of full width, and the last one.
    turned: &'a mut [Block<'b, F>; 2],
    /// The first of its lines.
    line: usize,
}

impl<T: Float, F: Packing<T>> Task<T> for Strip<'_, '_, T, F> {
    const DOTS: bool = F::DOTS;
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { rows, terms, panel, width, turned, line } = self;
        for first in (0..terms.div_ceil(F::TERMS)).step_by(L) {
            for (column, rows) in (0..).step_by(L).zip(rows.chunks(L * terms)) {
                let mut square = [[F::default(); L]; L];
                for (row, to) in rows.chunks_exact(terms).zip(&mut square) {
                    *to = F::along::<L, OPS>(row, first);
                }
                let lines = panel[first * width..].chunks_mut(width);
                for (line, numbers) in lines.zip(turn::<T, F, L, OPS>(square)) {
                    line[column..column + L].copy_from_slice(&numbers);
                }
            }
        }
        let full = MOST_VECTORS * L;
        for first in (0..terms).step_by(full) {
            let (width, count) = (full.min((terms - first).next_multiple_of(L)), full.min(terms - first));
            let of = usize::from(width < full);
            let lines = turned[of].row(if of == 0 { first / full } else { 0 });
            for (rows, line) in rows.chunks(F::TERMS * terms).zip(lines[line * width..].chunks_mut(width)) {
                F::across::<L, OPS>(rows, terms, first, &mut line[..count]);
            }
        }
    }
}
