//! What weight gradients multiply, made ready once for all jobs that read it: in strips of columns, each of
//! which lies in one piece, and rounded to bfloat16.

use super::math::Elementary;
use super::panels::MOST_VECTORS;
use super::rounding::{round_columns, round_turned};
use super::scratch::{Buffer, padded};
use super::segments::{Segment, Segments};
use super::simd::{Isa, Pair, Panel};
use super::threads::Crew;
use std::ops::RangeInclusive;

/// Rows that all jobs read before the next ones: so few that a job's gradients of them stay in the cache that a
/// core has to itself while strip after strip passes, so many that sums are not gone through too often.
const ROWS: RangeInclusive<usize> = 512..=1024;
/// Bytes of operand in them: a part of the last cache.
const OPERAND_BYTES: usize = 4 << 20;
/// Bytes of operand that jobs read where it lies: the cache that a core has to itself holds them all.
const SMALL: usize = 1 << 20;
/// Pairs of rows at once: what all jobs read of them stays in the last cache.
const PAIRS_AT_ONCE: usize = 1024;

/// Room for some rows of gradients and of what they multiply.
#[derive(Default)]
pub(super) struct Operands<T> {
    strips: Buffer<T>,
    dz: Buffer<Pair>,
    x: Buffer<Pair>,
}

/// Rows of an operand, strip by strip.
pub(super) struct Strips<'a, F> {
    data: &'a [F],
    rows: usize,
    lanes: usize,
}

impl<F> Strips<'_, F> {
    /// Some rows of a strip. What comes after them is in the strip, or begins the next.
    pub(super) fn panel(&self, first_column: usize, row: usize, count: usize) -> Panel<'_, F> {
        let stride = MOST_VECTORS * self.lanes;
        let (data, rest) = self.data[first_column * self.rows + row * stride..].split_at(count * stride);
        let ahead = &rest[..rest.len().min(data.len())];
        Panel { data, stride, vectors: MOST_VECTORS, apart: self.lanes, ahead }
    }
}

impl<T: Elementary> Operands<T> {
    /// The rows of the segments from row `first` on that are read together, and their operand in strips;
    /// none where there are no more rows. An operand that is small stays where it is.
    pub(super) fn cut<'a, 's, S: Segments<'a, T>>(
        &'s mut self,
        crew: Crew,
        isa: Isa,
        segments: &'s S,
        terms: usize,
        first: usize,
    ) -> Option<(impl Segments<'a, T> + use<'a, 's, S, T>, usize, Option<Strips<'s, T>>)> {
        let lanes = isa.lanes::<T>();
        let (all, full): (usize, _) =
            (segments.clone().map(|segment| segment.rows).sum(), terms.next_multiple_of(lanes));
        let bytes = full * size_of::<T>();
        let rows =
            all.saturating_sub(first).min((OPERAND_BYTES / bytes.max(1)).clamp(*ROWS.start(), *ROWS.end()));
        if rows == 0 {
            return None;
        }
        let these = cut::<_, 1>(segments, first, rows).map(|(_, segment)| segment);
        if all * bytes <= SMALL {
            return Some((these, rows, None));
        }
        let width = MOST_VECTORS * lanes;
        let data = room(&mut self.strips, rows * full.next_multiple_of(width));
        crew.chunks(data, rows * width, |strip, to| {
            let (column, mut to) = (strip * width, to.chunks_exact_mut(width));
            let columns = width.min(full - column);
            for segment in these.clone() {
                for (x, to) in segment.x.chunks(segment.stride).take(segment.rows).zip(&mut to) {
                    to[..columns].copy_from_slice(&x[column..column + columns]);
                }
            }
        });
        let data = &*data;
        Some((these, rows, Some(Strips { data, rows, lanes })))
    }

    /// As many pairs of rows as there is room for, from pair `first` of the segments on: the gradients as one
    /// segment whose rows are pairs, those of a unit side by side, and the operand in strips; none where there
    /// are no more. Each segment begins a pair. Gradients are `blocks` blocks of `units` numbers a row, the
    /// operand has `terms`.
    pub(super) fn round<'a>(
        &mut self,
        crew: Crew,
        isa: Isa,
        segments: &impl Segments<'a, T>,
        [blocks, units, terms]: [usize; 3],
        first: usize,
    ) -> Option<(Segment<'_, Pair>, Strips<'_, Pair>)> {
        let all: usize = segments.clone().map(|segment| segment.rows.div_ceil(2)).sum();
        let pairs = all.saturating_sub(first).min(PAIRS_AT_ONCE);
        if pairs == 0 {
            return None;
        }
        let lanes = isa.lanes::<T>();
        let (full, width) = (terms.next_multiple_of(lanes), MOST_VECTORS * lanes);
        let unit = padded(pairs, lanes);
        let block = units * unit;
        let dz = room(&mut self.dz, blocks * block);
        let x = room(&mut self.x, pairs * full.next_multiple_of(width));
        crew.chunks(dz, block, |block, to| {
            for (at, rows) in cut::<_, 2>(segments, first, pairs) {
                let dz = &rows.dz[block * rows.block..];
                round_turned(isa, [rows.rows, units, rows.row], dz, &mut to[at..], unit);
            }
        });
        crew.chunks(x, pairs * width, |strip, to| {
            let column = strip * width;
            for (at, rows) in cut::<_, 2>(segments, first, pairs) {
                let shape = [rows.rows, width.min(full - column), rows.stride];
                round_columns(isa, shape, &rows.x[column..], &mut to[at * width..], width);
            }
        });
        let dz = Segment { dz: &*dz, unit, row: 1, block, x: &[], stride: 0, rows: pairs };
        Some((dz, Strips { data: x, rows: pairs, lanes }))
    }
}

/// The first `len` places, made when they are first asked for.
fn room<F: Copy + Default>(buffer: &mut Buffer<F>, len: usize) -> &mut [F] {
    if buffer.len() < len {
        // Batches of other lengths need a little more now and then.
        *buffer = Buffer::new(len.next_power_of_two());
    }
    &mut buffer[..len]
}

/// The rows that make sets of `N` with numbers `first .. first + count`, segment by segment, each with the
/// place of its first set among these. Each segment begins a set.
fn cut<'a, T: 'a, const N: usize>(
    segments: &impl Segments<'a, T>,
    first: usize,
    count: usize,
) -> impl Iterator<Item = (usize, Segment<'a, T>)> + Clone {
    let mut end = 0;
    segments.clone().filter_map(move |segment| {
        let begin = end;
        end += segment.rows.div_ceil(N);
        let (from, to) = (first.max(begin), (first + count).min(end));
        (from < to).then(|| {
            let skip = N * (from - begin);
            let rows = segment.rows.min(N * (to - begin)) - skip;
            (from - first, segment.part(skip, rows))
        })
    })
}
