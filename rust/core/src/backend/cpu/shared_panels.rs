//! Products of a step back whose panels threads share. The sums are those of [`super::side_by_side`].

use super::gemm::{Left, Start};
use super::groups::{MOST_ROWS_OF_TILES, TOGETHER};
use super::math::Elementary;
use super::packed::{Packed, Room};
use super::panels::{FEW, Panels, WIDEST};
use super::rounding::rows_of;
use super::side_by_side::{Back, Group, multiply};
use super::simd::{Factor, Isa};
use super::threads::{Block, Crew, Matrix};
use std::array::from_fn;
use std::mem::take;

impl<T: Elementary> Packed<T> {
    /// `c ← start + a W` of several groups, the panels shared by threads.
    pub(crate) fn shared_products_back(
        &self,
        crew: Crew,
        isa: Isa,
        start: Start<'_, T>,
        all: &mut [Option<Back<'_, T>>; TOGETHER],
    ) {
        for Back { rows, a, room, .. } in all.iter_mut().flatten() {
            self.round(isa, *rows, *a, room);
        }
        match self {
            Self::Full([_, panels]) => shared(panels, crew, isa, start, all, |a, _| a),
            Self::Short([_, panels]) => {
                shared(panels, crew, isa, start, all, |a, room| rows_of(&room.pairs, a));
            }
            Self::Bytes(_) => unreachable!("nothing learns through bytes"),
        }
    }
}

/// Takes all groups through the pieces of each panel; `left`: what one multiplies.
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
    let (reads, of) = (|| reads.iter().flatten().copied(), reads.iter().flatten().count());
    let all_rows: usize = reads().map(|(rows, _)| rows).sum();
    // Between the rows of a panel lie those of others: its sums are made elsewhere.
    let job = |index: usize, mut columns: [Block<'_, T>; TOGETHER], sums: &mut [T]| {
        let width = panels.panel(index).stride;
        let mut lines = sums.chunks_exact_mut(width);
        for ((rows, _), columns) in reads().zip(&mut columns) {
            (0..rows)
                .zip(&mut lines)
                .for_each(|(row, line)| line.copy_from_slice(&columns.row(row)[..width]));
        }
        for piece in reads().take(1).flat_map(|(_, a)| panels.pieces_of(index, a, all_rows)) {
            let mut rest = &mut *sums;
            let all = reads().map(|(rows, a)| {
                let (c, after) = take(&mut rest).split_at_mut(rows * width);
                rest = after;
                Group { rows, a, c, stride: width }
            });
            multiply(panels, isa, start, piece, all, of);
        }
        let mut lines = sums.chunks_exact(width);
        for ((rows, _), columns) in reads().zip(&mut columns) {
            (0..rows).zip(&mut lines).for_each(|(row, line)| columns.row(row)[..width].copy_from_slice(line));
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
