//! Products of a step back of several groups of rows: all of them pass a panel before the next is read, two and two in
//! the same tiles, and threads may share the panels. The sums are those of each group alone.

use super::gemm::{Left, Start};
use super::groups::{MOST_ROWS_OF_TILES, TOGETHER};
use super::math::Elementary;
use super::packed::{Packed, Room};
use super::panels::{FEW, Nth, Panels, Piece, WIDEST};
use super::rounding::rows_of;
use super::simd::{Factor, Isa};
use super::threads::{Block, Crew, Matrix};
use std::array::from_fn;
use std::mem::take;

/// What a group of rows brings to a product back: `rows` rows of c are `stride` apart; `room` is for rounding.
pub(crate) struct Back<'a, T> {
    pub(crate) rows: usize,
    pub(crate) a: Left<'a, T>,
    pub(crate) c: &'a mut [T],
    pub(crate) stride: usize,
    pub(crate) room: &'a mut Room,
}

impl<T: Elementary> Packed<T> {
    /// `c ← start + a W` of several groups, the panels shared by threads if there are any.
    pub(crate) fn products_back(
        &self,
        crew: Crew,
        isa: Isa,
        start: Start<'_, T>,
        all: &mut [Option<Back<'_, T>>; TOGETHER],
    ) {
        match self {
            Self::Full([_, panels]) => through(panels, crew, isa, start, all, |a, _| a),
            Self::Short([_, panels]) => {
                crew.each(all, |_, back| {
                    back.iter_mut().for_each(|Back { rows, a, room, .. }| self.round(isa, *rows, *a, room));
                });
                through(panels, crew, isa, start, all, |a, room| rows_of(&room.pairs, a));
            }
            Self::Bytes(_) => unreachable!("nothing learns through bytes"),
        }
    }
}

/// Takes all groups through a piece of the panels before the next is read; `left`: what one multiplies.
fn through<T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    crew: Crew,
    isa: Isa,
    start: Start<'_, T>,
    all: &mut [Option<Back<'_, T>>; TOGETHER],
    left: impl for<'a> Fn(Left<'a, T>, &'a Room) -> Left<'a, F>,
) {
    if crew.is_team() {
        return dealt(panels, crew, isa, start, all, left);
    }
    let of = all.iter().flatten().count();
    let Some(first) = all.iter().flatten().next().map(|back| Left { data: &[], ..left(back.a, back.room) })
    else {
        return;
    };
    for piece in panels.pieces(first) {
        let column = panels.column(piece.panel);
        let all = all.iter_mut().flatten().map(|Back { rows, a, c, stride, room }| Group {
            rows: *rows,
            a: left(*a, room),
            c: &mut c[column..],
            stride: *stride,
        });
        multiply(panels, isa, start, piece, all, of);
    }
}

/// The same, the panels dealt to threads.
fn dealt<T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    crew: Crew,
    isa: Isa,
    start: Start<'_, T>,
    all: &mut [Option<Back<'_, T>>; TOGETHER],
    left: impl for<'a> Fn(Left<'a, T>, &'a Room) -> Left<'a, F>,
) {
    let mut reads = [None; TOGETHER];
    let mut columns = from_fn(|_| Matrix::none());
    for ((back, read), columns) in all.iter_mut().zip(&mut reads).zip(&mut columns) {
        let Some(Back { rows, a, c, stride, room }) = back else { continue };
        *read = Some((*rows, left(*a, room)));
        *columns = Matrix { data: &mut c[..*rows * *stride], stride: *stride, width: panels.column(1) };
    }
    let all = || reads.iter().flatten().copied();
    let (of, all_rows) = (all().count(), all().map(|(rows, _)| rows).sum::<usize>());
    // Between the rows of a panel lie those of others: its sums are made elsewhere.
    let job = |index: usize, mut columns: [Block<'_, T>; TOGETHER], sums: &mut [T]| {
        let width = panels.panel(index).stride;
        let mut lines = sums.chunks_exact_mut(width);
        for (read, columns) in reads.iter().zip(&mut columns) {
            let rows = 0..read.map_or(0, |(rows, _)| rows);
            rows.zip(&mut lines).for_each(|(row, line)| line.copy_from_slice(&columns.row(row)[..width]));
        }
        for piece in all().take(1).flat_map(|(_, a)| panels.pieces_of(index, a, all_rows)) {
            let mut rest = &mut *sums;
            let all = all().map(|(rows, a)| {
                let (c, after) = take(&mut rest).split_at_mut(rows * width);
                rest = after;
                Group { rows, a, c, stride: width }
            });
            multiply(panels, isa, start, piece, all, of);
        }
        let mut lines = sums.chunks_exact(width);
        for (read, columns) in reads.iter().zip(&mut columns) {
            let rows = 0..read.map_or(0, |(rows, _)| rows);
            rows.zip(&mut lines).for_each(|(row, line)| columns.row(row)[..width].copy_from_slice(line));
        }
    };
    crew.blocks(panels.count(), columns, [Matrix::<T>::none()], &|index, columns, _| {
        if all_rows <= FEW {
            job(index, columns, &mut [T::ZERO; FEW * WIDEST]);
        } else {
            job(index, columns, &mut [T::ZERO; TOGETHER * MOST_ROWS_OF_TILES * WIDEST]);
        }
    });
}

/// A group's rows of a left-hand matrix and of what it is multiplied into, `stride` apart.
struct Group<'a, S, F> {
    rows: usize,
    a: Left<'a, F>,
    c: &'a mut [S],
    stride: usize,
}

/// Multiplies all groups by a piece of a panel, two and two together, into c from its columns on.
fn multiply<'a, T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    isa: Isa,
    start: Start<'_, T>,
    piece: Piece,
    all: impl Iterator<Item = Group<'a, T, F>>,
    of: usize,
) {
    let mut groups = all.enumerate().peekable();
    while let Some((number, Group { rows, a, c, stride })) = groups.next() {
        let (piece, nth) = (piece.clone(), Nth { number, of });
        match groups.next_if(|(_, other)| (other.rows, other.stride) == (rows, stride)) {
            Some((_, other)) => {
                panels.piece_product(piece, isa, rows, [a, other.a], start, [c, other.c], stride, nth);
            }
            None => panels.piece_product(piece, isa, rows, [a], start, [c], stride, nth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::side_by_side::tests::{Case, cases, numbers};
    use super::super::simd::Strides;
    use super::super::threads;
    use super::*;
    use crate::backend::Precision;

    impl<T: Elementary> Case<T> {
        fn back(&self, rows: &[usize], lens: &[usize], start: Start<'_, T>) {
            let (isa, lanes, stride) = (self.isa, self.isa.lanes::<T>(), self.terms.next_multiple_of(16));
            let terms = self.gates * lanes;
            let dz = lens.iter().enumerate();
            let dz: Vec<_> = dz.map(|(i, len)| numbers::<T>(len * terms * self.blocks, 10 * i + 3)).collect();
            let sums = rows.iter().enumerate().map(|(i, rows)| numbers::<T>(rows * stride, 10 * i + 4));
            let mut together: Vec<_> = sums.collect();
            let (mut alone, mut shared) = (together.clone(), together.clone());
            let left = |i: usize| {
                let at = Strides { row: terms, term: 1, block: lens[i] * terms };
                Left { data: &dz[i][..], at, blocks: self.blocks, terms }
            };
            let mut rooms: Vec<_> = rows.iter().map(|_| Room::default()).collect();
            let mut run = |crew: Crew, sums: &mut [Vec<T>]| {
                let mut all = sums.iter_mut().zip(&mut rooms).enumerate();
                let next = |_| {
                    let (i, (c, room)) = all.next()?;
                    Some(Back { rows: rows[i], a: left(i), stride, c, room })
                };
                self.packed.products_back(crew, isa, start, &mut from_fn(next));
            };
            run(Crew::ALONE, &mut together);
            threads::enter(1e9, |crew| run(crew, &mut shared)).expect("a team");
            for (i, c) in alone.iter_mut().enumerate() {
                let back = Back { rows: rows[i], a: left(i), stride, c, room: &mut Room::default() };
                let mut back = Some(back);
                self.packed.products_back(Crew::ALONE, isa, start, &mut from_fn(|_| back.take()));
            }
            assert!(together == alone, "{isa:?} {} {rows:?} {lens:?} back", T::NAME);
            assert!(shared == alone, "{isa:?} {} {rows:?} {lens:?} back, shared", T::NAME);
        }
    }

    fn as_alone<T: Elementary>(isa: Isa, precision: Precision) {
        cases::<T>(isa, precision, |case, rows, lens| {
            case.back(rows, lens, Start::There);
            case.back(rows, lens, Start::Zero);
        });
    }

    #[test]
    fn groups_have_the_sums_of_each_alone() {
        for isa in Isa::available() {
            for precision in [Precision::Full, Precision::Bfloat16] {
                as_alone::<f32>(isa, precision);
                as_alone::<f64>(isa, precision);
            }
        }
    }
}
