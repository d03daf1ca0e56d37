//! Products of a step back of several groups, all of which take a panel before the next is read; threads share the
//! panels. The sums are those of each group alone.

use super::gemm::{Left, Start};
use super::groups::{MOST_ROWS_OF_TILES, TOGETHER};
use super::math::Elementary;
use super::packed::{Packed, Room};
use super::panels::{FEW, Panels, WIDEST};
use super::rounding::rows_of;
use super::side_by_side::{Back, Group, multiply, side_by_side};
use super::simd::{Factor, Isa};
use super::threads::{Block, Crew, Matrix};
use std::array::from_fn;
use std::mem::take;

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

/// Takes all groups through the panels; `left`: what one multiplies.
fn through<T: Elementary, F: Factor<T>>(
    panels: &Panels<F>,
    crew: Crew,
    isa: Isa,
    start: Start<'_, T>,
    all: &mut [Option<Back<'_, T>>; TOGETHER],
    left: impl for<'a> Fn(Left<'a, T>, &'a Room) -> Left<'a, F>,
) {
    if crew.is_team() {
        shared(panels, crew, isa, start, all, left);
    } else {
        side_by_side(panels, isa, start, all, left);
    }
}

/// The same, each panel by one thread.
fn shared<T: Elementary, F: Factor<T>>(
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
