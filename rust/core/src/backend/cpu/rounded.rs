//! What weight gradients multiply, rounded to bfloat16: once for all jobs that read it.

use super::math::Elementary;
use super::rounding::round_columns;
use super::scratch::{Buffer, padded};
use super::segments::{Segment, Segments};
use super::simd::{Isa, Pair};
use super::threads::Crew;

/// Pairs of rows at once: what all jobs read of them stays in the last cache.
const PAIRS_AT_ONCE: usize = 1024;
/// Pairs of rows of the operand in one job.
const PAIRS_A_JOB: usize = 64;

/// Room for some rows of gradients and of what they multiply.
#[derive(Default)]
pub(super) struct Rounded {
    dz: Buffer<Pair>,
    x: Buffer<Pair>,
}

impl Rounded {
    /// As many pairs as there is room for, from pair `first` of the segments on, as one segment whose rows
    /// are pairs; none where there are no more. Each segment begins a pair. Gradients are `blocks` blocks of
    /// `units` numbers a row, the operand has `terms`.
    pub(super) fn fill<'a, T: Elementary>(
        &mut self,
        crew: Crew,
        isa: Isa,
        segments: &impl Segments<'a, T>,
        [blocks, units, terms]: [usize; 3],
        first: usize,
    ) -> Option<Segment<'_, Pair>> {
        let all: usize = segments.clone().map(|segment| segment.rows.div_ceil(2)).sum();
        let pairs = all.saturating_sub(first).min(PAIRS_AT_ONCE);
        if pairs == 0 {
            return None;
        }
        let lanes = isa.lanes::<T>();
        let (width, stride) = (terms.next_multiple_of(lanes), padded(terms, lanes));
        let block = pairs * units;
        let dz = room(&mut self.dz, blocks * block);
        let x = room(&mut self.x, pairs * stride);
        crew.chunks(dz, block, |block, to| {
            for (at, rows) in cut(segments, first, pairs) {
                let dz = &rows.dz[block * rows.block..];
                round_columns(isa, [rows.rows, units, rows.row], dz, &mut to[at * units..], units);
            }
        });
        crew.chunks(x, PAIRS_A_JOB * stride, |job, to| {
            for (at, rows) in cut(segments, first + job * PAIRS_A_JOB, to.len() / stride) {
                let shape = [rows.rows, width, rows.stride];
                round_columns(isa, shape, rows.x, &mut to[at * stride..], stride);
            }
        });
        Some(Segment { dz: &self.dz, row: units, block, x: &self.x, stride, rows: pairs })
    }
}

/// The first `len` places, made when they are first asked for.
fn room(buffer: &mut Buffer<Pair>, len: usize) -> &mut [Pair] {
    if buffer.len() < len {
        *buffer = Buffer::new(len);
    }
    &mut buffer[..len]
}

/// The rows that make pairs `first .. first + count`, segment by segment, each with the place of its first
/// pair among these.
fn cut<'a, T: 'a>(
    segments: &impl Segments<'a, T>,
    first: usize,
    count: usize,
) -> impl Iterator<Item = (usize, Segment<'a, T>)> {
    let mut end = 0;
    segments.clone().filter_map(move |segment| {
        let begin = end;
        end += segment.rows.div_ceil(2);
        let (from, to) = (first.max(begin), (first + count).min(end));
        (from < to).then(|| {
            let skip = 2 * (from - begin);
            let rows = segment.rows.min(2 * (to - begin)) - skip;
            (from - first, segment.part(skip, rows))
        })
    })
}
