//! What weight gradients multiply, made ready once for all jobs that read it: in strips of columns, each of
//! which lies in one piece, and rounded to bfloat16.

use super::math::Elementary;
use super::panels::MOST_VECTORS;
use super::rounding::{round_columns, round_turned};
use super::scratch::{Buffer, padded};
use super::segments::{Segment, Segments};
use super::simd::{Isa, Pair, Panel};
use super::threads::{Block, Crew, Matrix};
use std::ops::RangeInclusive;

/// Rows that all jobs read before the next ones: so few that a job's gradients of them stay in the cache that a
/// core has to itself while strip after strip passes, so many that sums are not gone through too often.
const ROWS: RangeInclusive<usize> = 512..=1024;
/// Bytes in them of the widest operand: a part of the last cache.
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

/// Weights at most whose gradients are summed together: of a layer's input, and of its recurrent products.
pub(super) const MOST_WEIGHTS: usize = 3;

/// Something of each of some weights.
pub(super) type Each<A> = [Option<A>; MOST_WEIGHTS];

/// The operands of some weights: their rows, and the numbers in a row.
pub(super) type Sources<S> = Each<(S, usize)>;

impl<T: Elementary> Operands<T> {
    /// How many rows from row `first` on are read together, and their operands in strips; none where there are no
    /// more rows. An operand that is small stays where it is.
    pub(super) fn strips<'a, 's, S: Segments<'a, T>>(
        &'s mut self,
        crew: Crew,
        isa: Isa,
        sources: &Sources<S>,
        first: usize,
    ) -> Option<(usize, Each<Strips<'s, T>>)> {
        let lanes = isa.lanes::<T>();
        let width = MOST_VECTORS * lanes;
        let all = sets::<_, 1>(sources);
        let bytes = |terms: usize| terms.next_multiple_of(lanes) * size_of::<T>();
        let moves = |terms: usize| all * bytes(terms) > SMALL;
        let widest = sources.iter().flatten().map(|(_, terms)| bytes(*terms)).max()?;
        let rows =
            (OPERAND_BYTES / widest.max(1)).clamp(*ROWS.start(), *ROWS.end()).min(all.saturating_sub(first));
        if rows == 0 {
            return None;
        }
        let len = |terms: usize| if moves(terms) { rows * terms.next_multiple_of(width) } else { 0 };
        let mut rest = room(&mut self.strips, sources.iter().flatten().map(|(_, terms)| len(*terms)).sum());
        let strips = sources.each_ref().map(|source| {
            let (segments, terms) = source.as_ref().filter(|(_, terms)| moves(*terms))?;
            let data = rest.split_off_mut(..len(*terms))?;
            crew.chunks(data, rows * width, |strip, to| {
                let (column, mut to) = (strip * width, to.chunks_exact_mut(width));
                let columns = width.min(terms.next_multiple_of(lanes) - column);
                for (_, segment) in piece::<_, 1>(segments, first, rows) {
                    for (x, to) in segment.x.chunks(segment.stride).take(segment.rows).zip(&mut to) {
                        to[..columns].copy_from_slice(&x[column..column + columns]);
                    }
                }
            });
            Some(Strips { data, rows, lanes })
        });
        Some((rows, strips))
    }

    /// As many pairs of rows as there is room for, from pair `first` of the segments on: the gradients as one
    /// segment whose rows are pairs, those of a unit side by side, and the operands in strips; none where there
    /// are no more. Each segment begins a pair. Gradients are `blocks` blocks of `units` numbers a row. `also` is
    /// called for each block right after its gradients were read, with its part of the `biases` and the first of
    /// the pairs and how many there are.
    pub(super) fn round<'a, 's, S: Segments<'a, T>>(
        &'s mut self,
        crew: Crew,
        isa: Isa,
        sources: &Sources<S>,
        [blocks, units]: [usize; 2],
        first: usize,
        biases: [Matrix<'_, T>; MOST_WEIGHTS],
        also: &(impl Fn(usize, [Block<'_, T>; MOST_WEIGHTS], [usize; 2]) + Send + Sync),
    ) -> Option<(Segment<'s, Pair>, Each<Strips<'s, Pair>>)> {
        let pairs = sets::<_, 2>(sources).saturating_sub(first).min(PAIRS_AT_ONCE);
        let (segments, _) = sources.iter().flatten().next().filter(|_| pairs > 0)?;
        let lanes = isa.lanes::<T>();
        let width = MOST_VECTORS * lanes;
        let unit = padded(pairs, lanes);
        let block = units * unit;
        let dz = room(&mut self.dz, blocks * block);
        let all = Matrix { stride: dz.len(), width: block, data: &mut *dz };
        crew.blocks(blocks, biases, [all], &|block, biases, [mut to]| {
            for (at, rows) in piece::<_, 2>(segments, first, pairs) {
                let dz = &rows.dz[block * rows.block..];
                round_turned(isa, [rows.rows, units, rows.row], dz, &mut to.row(0)[at..], unit);
            }
            also(block, biases, [first, pairs]);
        });
        let len = |terms: usize| pairs * terms.next_multiple_of(width);
        let mut rest = room(&mut self.x, sources.iter().flatten().map(|(_, terms)| len(*terms)).sum());
        let strips = sources.each_ref().map(|source| {
            let (segments, terms) = source.as_ref()?;
            let data = rest.split_off_mut(..len(*terms))?;
            crew.chunks(data, pairs * width, |strip, to| {
                let column = strip * width;
                for (at, rows) in piece::<_, 2>(segments, first, pairs) {
                    let columns = width.min(terms.next_multiple_of(lanes) - column);
                    let shape = [rows.rows, columns, rows.stride];
                    round_columns(isa, shape, &rows.x[column..], &mut to[at * width..], width);
                }
            });
            Some(Strips { data, rows: pairs, lanes })
        });
        let dz = Segment { dz: &*dz, unit, row: 1, block, x: &[], stride: 0, rows: pairs };
        Some((dz, strips))
    }
}

/// Sets of `N` rows in the segments, each of which begins one: the same for all operands.
fn sets<'a, T: 'a, const N: usize>(sources: &Sources<impl Segments<'a, T>>) -> usize {
    let segments = sources.iter().flatten().next().map(|(segments, _)| segments.clone());
    segments.into_iter().flatten().map(|segment| segment.rows.div_ceil(N)).sum()
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
pub(super) fn piece<'a, T: 'a, const N: usize>(
    segments: &impl Segments<'a, T>,
    first: usize,
    count: usize,
) -> impl Iterator<Item = (usize, Segment<'a, T>)> + Clone {
    let mut end = 0;
    let placed = segments.clone().map(move |segment| {
        let begin = end;
        end += segment.rows.div_ceil(N);
        (begin, end, segment)
    });
    let these = placed.skip_while(move |&(_, end, _)| end <= first);
    let these = these.take_while(move |&(begin, ..)| begin < first + count);
    these.filter(|(begin, end, _)| begin < end).map(move |(begin, end, segment)| {
        let (from, to) = (first.max(begin), (first + count).min(end));
        let skip = N * (from - begin);
        let rows = segment.rows.min(N * (to - begin)) - skip;
        (from - first, segment.part(skip, rows))
    })
}

/// Drops the segments of sets of `N` rows that all come before set `first`; the number of that set among the others.
pub(super) fn after<'a, T: 'a, const N: usize>(
    sources: &mut Sources<impl Segments<'a, T>>,
    mut first: usize,
) -> usize {
    let before = first;
    for (segments, _) in sources.iter_mut().flatten() {
        first = before;
        let mut rest = segments.clone();
        while let Some(sets) =
            rest.next().map(|segment| segment.rows.div_ceil(N)).filter(|&sets| sets <= first)
        {
            first -= sets;
            *segments = rest.clone();
        }
    }
    first
}
