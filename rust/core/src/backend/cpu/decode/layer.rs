//! One recurrent layer reading a step of a few texts.
//!
//! Unit blocks are independent once the state before the step is known. With one text a step's
//! numbers lie in the order of its unit blocks, so that a run of blocks is a slice of each, and
//! threads share them.

use super::super::gemm::{Left, Start};
use super::super::math::Elementary;
use super::super::packed::{Operand, Packed, Room};
use super::super::panels::Nth;
use super::super::pointwise::{self, each_row};
use super::super::scan::Scan;
use super::super::scratch::{Buffer, Rows, tail_mut};
use super::super::table::Table;
use super::super::threads::{Crew, SHARE};
use crate::cells::{self, State, Step, Visit};
use std::ops::Range;

/// What a layer reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a, T> {
    /// The layer's part of every token known, and which of them each row reads.
    Tokens(&'a Table<T>, &'a [u32]),
    /// Numbers, (rows, I).
    Rows(&'a Rows<T>),
}

/// A layer's state, and what it needs for a step.
pub(super) struct Layer<T> {
    hidden: usize,
    pub(super) h: Rows<T>,
    /// Of no width for a cell without memory.
    c: Rows<T>,
    next: [Rows<T>; 2],
    /// r ⊙ h.
    reset: Rows<T>,
    /// The cell's slots, `[H / L][rows][S·L]`.
    z: Buffer<T>,
    /// The input and what each product multiplies, rounded.
    rounded: [Room; 3],
}

impl<T: Elementary> Layer<T> {
    /// For at most `rows` texts.
    pub(super) fn new(scan: &Scan<T>, rows: usize) -> Self {
        let hidden = scan.recurrence.hidden;
        let state = || Rows::new(0, rows, hidden, scan.lanes);
        let rows_if = |wanted: bool| if wanted { state() } else { Rows::default() };
        let memory = scan.recurrence.cell.has_memory();
        Self {
            hidden,
            h: state(),
            c: rows_if(memory),
            next: [state(), rows_if(memory)],
            reset: rows_if(scan.layout.resets()),
            z: Buffer::new(scan.blocks * rows * scan.line()),
            rounded: Default::default(),
        }
    }

    /// The rows of h and its width; those of c likewise.
    pub(super) fn h(&self) -> (&Rows<T>, usize) {
        (&self.h, self.hidden)
    }

    pub(super) fn c(&self) -> (&Rows<T>, usize) {
        (&self.c, self.hidden.min(self.c.stride))
    }

    pub(super) fn h_mut(&mut self) -> (&mut Rows<T>, usize) {
        (&mut self.h, self.hidden)
    }

    pub(super) fn c_mut(&mut self) -> (&mut Rows<T>, usize) {
        let width = self.hidden.min(self.c.stride);
        (&mut self.c, width)
    }

    /// One step of the first `rows` texts.
    pub(super) fn step(&mut self, scan: &Scan<T>, crew: Crew, rows: usize, input: Input<'_, T>) {
        scan.recurrence.cell.visit(Turn { scan, crew, rows, input, layer: self });
        // The rows after them rest.
        for (now, next) in [&mut self.h, &mut self.c].into_iter().zip(&self.next) {
            let numbers = rows * next.stride;
            now.data[..numbers].copy_from_slice(&next.data[..numbers]);
        }
    }
}

struct Turn<'a, T> {
    scan: &'a Scan<T>,
    crew: Crew<'a>,
    rows: usize,
    input: Input<'a, T>,
    layer: &'a mut Layer<T>,
}

impl<T: Elementary> Visit for Turn<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Turn { scan, crew, rows, input, layer } = self;
        let Layer { h, c, next: [next_h, next_c], reset, z, rounded: [input_room, first, second], .. } =
            layer;
        let (lanes, stride) = (scan.lanes, h.stride);
        let x = match input {
            Input::Tokens(table, tokens) => X::Tokens(table, tokens),
            Input::Rows(x) => X::Rows(scan.round_input(rows, &x.data, x.stride, input_room)),
        };
        let rooms = [first, second];
        let mut operands = [None; 2];
        let mut waiting = None;
        for (i, ((product, weight), room)) in
            scan.layout.products.iter().zip(&scan.products).zip(rooms).enumerate()
        {
            match product.operand {
                cells::Operand::H => operands[i] = Some(operand(scan, weight, rows, h, room)),
                cells::Operand::C => operands[i] = Some(operand(scan, weight, rows, c, room)),
                cells::Operand::ResetH => waiting = Some((i, weight, room)),
            }
        }
        let mut reads = Reads { scan, rows, x, operands };
        if let (true, Some((i, weight, room))) = (C::RESETS, waiting) {
            let slices = [&mut z[..], &mut reset.data, &mut []];
            each_block(scan, crew, rows, slices, &reads, &|block, z, reset, _| {
                each_row(
                    scan.isa,
                    rows,
                    stride,
                    z,
                    pointwise::Reset { cell, h: &h.data[block * lanes..], reset },
                );
            });
            let mut operands = [None; 2];
            operands[i] = Some(operand(scan, weight, rows, reset, room));
            reads = Reads { scan, rows, x: X::There, operands };
        }
        let next = [&mut z[..], &mut next_h.data, &mut next_c.data];
        each_block(scan, crew, rows, next, &reads, &|block, z, next_h, next_c| {
            let at = block * lanes;
            let prev = State { h: &h.data[at..], c: if C::MEMORY { &c.data[at..] } else { &[] } };
            let next = State { h: next_h, c: next_c };
            let units = pointwise::Units { peephole: scan.peephole_at(at), candidate: &[] };
            each_row(scan.isa, rows, stride, z, pointwise::Forward { cell, prev, next, units });
        });
    }
}

/// What a product multiplies, as its weight takes it.
fn operand<'a, T: Elementary>(
    scan: &Scan<T>,
    weight: &Packed<T>,
    rows: usize,
    of: &'a Rows<T>,
    room: &'a mut Room,
) -> Operand<'a, T> {
    let a = Left::rows(&of.data, of.stride, scan.recurrence.hidden);
    weight.round(scan.isa, rows, a, room);
    weight.operand(a, room)
}

/// The input's part of z.
#[derive(Clone, Copy)]
enum X<'a, T> {
    Tokens(&'a Table<T>, &'a [u32]),
    Rows(Option<Operand<'a, T>>),
    /// It is there already.
    There,
}

/// What all unit blocks read.
struct Reads<'a, T> {
    scan: &'a Scan<T>,
    rows: usize,
    x: X<'a, T>,
    /// Of the products that are made now.
    operands: [Option<Operand<'a, T>>; 2],
}

impl<T: Elementary> Reads<'_, T> {
    /// The pre-activations of some unit blocks.
    fn multiply(&self, blocks: Range<usize>, z: &mut [T]) {
        let (scan, line, apart) = (self.scan, self.scan.line(), self.rows * self.scan.line());
        match self.x {
            X::Tokens(table, tokens) => {
                for (z, block) in z.chunks_exact_mut(apart).zip(blocks.clone()) {
                    for (z, &token) in z.chunks_exact_mut(line).zip(tokens) {
                        z.copy_from_slice(table.row(block, token as usize, line));
                    }
                }
            }
            X::Rows(x) => scan.project_blocks(blocks.clone(), self.rows, x, z, apart),
            X::There => {}
        }
        for ((product, weight), a) in scan.layout.products.iter().zip(&scan.products).zip(self.operands) {
            if let Some(a) = a {
                let z = &mut z[product.slot * scan.lanes..];
                let (isa, rows, blocks) = (scan.isa, self.rows, blocks.clone());
                weight.blocks_product(isa, rows, a, blocks, Start::There, z, [line, apart], Nth::ONLY);
            }
        }
    }
}

/// Makes the pre-activations of every unit block and calls `f(block, z, h, c)` on it, with what a step
/// writes of it; `c` is empty for a cell without memory. A row alone is shared by threads, `each` blocks at
/// a time.
fn each_block<T: Elementary>(
    scan: &Scan<T>,
    crew: Crew,
    rows: usize,
    [z, h, c]: [&mut [T]; 3],
    reads: &Reads<'_, T>,
    f: &(impl Fn(usize, &mut [T], &mut [T], &mut [T]) + Send + Sync),
) {
    let (lanes, line) = (scan.lanes, rows * scan.line());
    let each = if rows > 1 { scan.blocks } else { SHARE.div_ceil(scan.block_operations()) };
    let each = each.next_multiple_of(scan.at_once());
    // Of several rows h and c are interleaved: they go in one piece.
    let (numbers, all) = if rows > 1 { (h.len(), h.len()) } else { (each * lanes, scan.blocks * lanes) };
    let memory = all.min(c.len());
    let (z, h, c) = (&mut z[..scan.blocks * line], &mut h[..all], &mut c[..memory]);
    crew.zipped_chunks([z, h, c], [each * line, numbers, numbers], &|job, [z, h, c]| {
        let first = job * each;
        reads.multiply(first..first + z.len() / line, z);
        for (i, z) in z.chunks_exact_mut(line).enumerate() {
            f(job * each + i, z, &mut h[i * lanes..], tail_mut(c, i * lanes));
        }
    });
}
