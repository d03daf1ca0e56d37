//! Writing a weight and its transpose into panels, as floats or as pairs of bfloat16.

use super::panels::Panels;
use super::simd::Pair;
use super::threads::Crew;
use crate::float::Float;

/// What a weight is packed as.
pub(super) trait Packing<T>: Copy + Default + Send + Sync {
    /// Terms of a sum in one factor.
    const TERMS: usize;
    /// Of its terms.
    fn of(term: impl Fn(usize) -> T) -> Self;
    /// A panel's line from columns `column ..` of at most `TERMS` rows of `terms` numbers.
    fn line(rows: &[T], terms: usize, column: usize, line: &mut [Self]);
}

impl<T: Float> Packing<T> for T {
    const TERMS: usize = 1;
    #[inline(always)]
    fn of(term: impl Fn(usize) -> T) -> Self {
        term(0)
    }
    fn line(row: &[T], _terms: usize, column: usize, line: &mut [Self]) {
        line.copy_from_slice(&row[column..][..line.len()]);
    }
}

impl<T: Float> Packing<T> for Pair {
    const TERMS: usize = 2;
    #[inline(always)]
    fn of(term: impl Fn(usize) -> T) -> Self {
        Self::new(term(0), term(1))
    }
    fn line(rows: &[T], terms: usize, column: usize, line: &mut [Self]) {
        let (first, second) = rows.split_at(terms);
        let second = second.get(column..).unwrap_or_default().iter().copied();
        let pairs = first[column..].iter().zip(second.chain(std::iter::repeat(T::ZERO)));
        for (to, (&first, second)) in line.iter_mut().zip(pairs) {
            *to = Self::new(first, second);
        }
    }
}

/// Packs a (rows, terms) weight, and its transpose.
pub(super) fn pack_matrix<T: Float, F: Packing<T>>(
    [forward, backward]: &mut [Panels<F>; 2],
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
        for (rows, line) in weight.chunks(F::TERMS * terms).zip(panel.chunks_exact_mut(width)) {
            F::line(rows, terms, column, &mut line[..count]);
        }
    });
}

/// Packs some gates of a (G·H, terms) weight, and its transpose.
pub(super) fn pack_gates<T: Float, F: Packing<T>>(
    [forward, backward]: &mut [Panels<F>; 2],
    crew: Crew,
    weight: &[T],
    terms: usize,
    hidden: usize,
    lanes: usize,
    gates: &[usize],
) {
    forward.fill(crew, |block, _, width, panel| {
        let units = lanes.min(hidden - block * lanes);
        for (i, gate) in gates.iter().enumerate() {
            let from = &weight[(gate * hidden + block * lanes) * terms..][..units * terms];
            transpose_into(from, terms, panel, width, i * lanes);
        }
    });
    backward.fill(crew, |_, column, width, panel| {
        let count = width.min(terms - column);
        for (i, gate) in gates.iter().enumerate() {
            let units = weight[gate * hidden * terms..][..hidden * terms].chunks(F::TERMS * terms);
            for (unit, rows) in units.enumerate().map(|(number, rows)| (number * F::TERMS, rows)) {
                let line = ((unit / lanes * gates.len() + i) * lanes + unit % lanes) / F::TERMS;
                F::line(rows, terms, column, &mut panel[line * width..][..count]);
            }
        }
    });
}

/// Copies column block `from` (rows of `terms` numbers, at most `lanes` of them) into a panel:
/// `panel[k * width + at + l] = from[l][k]`.
fn transpose_into<T: Float, F: Packing<T>>(
    from: &[T],
    terms: usize,
    panel: &mut [F],
    width: usize,
    at: usize,
) {
    let factors = terms.div_ceil(F::TERMS);
    // Sixteen factors at a time: their panel lines stay in the first cache.
    for first in (0..factors).step_by(16) {
        let last = factors.min(first + 16);
        for (l, row) in from.chunks_exact(terms).enumerate() {
            for k in first..last {
                let term = |i| row.get(k * F::TERMS + i).copied().unwrap_or(T::ZERO);
                panel[k * width + at + l] = F::of(term);
            }
        }
    }
}
