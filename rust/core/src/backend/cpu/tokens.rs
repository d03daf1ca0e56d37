//! Token projection: the input's part of a layer is computed once for each *distinct* token of a
//! batch and then gathered; on the way back the gradients of a token's rows are summed before
//! any product. Halves the work of a one-layer character model, with the same gradients.

use super::context::Context;
use super::embedding::token_mask;
use super::gemm::Start;
use super::math::{Elementary, add};
use super::packed::Room;
use super::part::Part;
use super::scan::Scan;
use super::scratch::{Buffer, Rows};
use super::table::Table;
use super::tape::NormRows;
use super::threads::Crew;
use crate::params::ParamId;
use crate::program::SlotId;
use crate::rng::Kind;
use std::mem::take;

/// The distinct tokens of a batch, or of several, in order of appearance. −1, the zero vector, is
/// one of them.
#[derive(Default)]
pub(super) struct Distinct {
    pub(super) tokens: Vec<i32>,
    /// For each token + 1: its place in `tokens`, if `seen` says so.
    place: Vec<u32>,
    seen: Vec<u32>,
    run: u32,
}

impl Distinct {
    pub(super) fn new(vocabulary: usize) -> Self {
        Self { place: vec![0; vocabulary + 1], seen: vec![0; vocabulary + 1], run: 1, ..Self::default() }
    }

    /// Forgets all tokens.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        if self.run == u32::MAX {
            (self.run, self.seen) = (0, vec![0; self.seen.len()]);
        }
        self.run += 1;
    }

    /// Adds the tokens of (B, T) and notes in every part which of all each packed row reads.
    pub(super) fn collect<T>(&mut self, tokens: &[i32], steps: usize, slot: SlotId, parts: &mut [Part<T>]) {
        for part in parts {
            let mut rows = take(&mut part.token_rows[slot]);
            rows.clear();
            for (b, t, _) in part.group.places() {
                let token = tokens[b * steps + t];
                let place = (token + 1) as usize;
                if self.seen[place] != self.run {
                    (self.seen[place], self.place[place]) = (self.run, self.tokens.len() as u32);
                    self.tokens.push(token);
                }
                rows.push(self.place[place]);
            }
            part.token_rows[slot] = rows;
        }
    }
}

impl<T: Elementary> Table<T> {
    /// For at most `rows` distinct tokens.
    pub(super) fn new(scan: &Scan<T>, rows: usize, embedded: bool) -> Self {
        let x = || if embedded { Rows::new(0, rows, scan.inputs, scan.lanes) } else { Rows::default() };
        let norm = if scan.normalises() { scan.norm_rows(rows) } else { NormRows::default() };
        Self {
            capacity: rows,
            len: 0,
            z: Buffer::new(scan.blocks * rows * scan.line()),
            norm,
            x: x(),
            dx: x(),
            rounded: Room::default(),
        }
    }

    /// Computes the part of every token that is not there yet: from its embedding, or from its
    /// column of W_ih.
    pub(super) fn project(
        &mut self,
        crew: Crew,
        scan: &Scan<T>,
        run: &Context<'_, T>,
        embedding: Option<(ParamId, f64)>,
    ) {
        let (first, line) = (self.len, scan.line());
        let fresh = &run.tokens[first..];
        let rows = fresh.len();
        self.len = run.tokens.len();
        if let Some(embedding) = embedding {
            self.look_up(first, scan.inputs, run, embedding);
        }
        let capacity = self.capacity;
        let x = if embedding.is_some() {
            scan.round_input(rows, self.x.at(first), self.x.stride, &mut self.rounded)
        } else {
            None
        };
        let to = if scan.normalises() { &mut self.norm.x } else { &mut self.z };
        let weight = &run.values[run.parameters.range(scan.recurrence.weights.ih)];
        each_block(crew, to, capacity * line, |block, z| {
            let z = &mut z[first * line..][..rows * line];
            if embedding.is_some() {
                scan.project_blocks(block..block + 1, rows, x, z, capacity * line);
            } else {
                columns(scan, block, fresh, weight, z);
            }
        });
        scan.normalise_input(capacity, first, rows, &mut self.z, &mut self.norm);
    }

    /// The embeddings of the tokens from number `first` on.
    fn look_up(&mut self, first: usize, width: usize, run: &Context<'_, T>, (id, dropout): (ParamId, f64)) {
        let embedding = &run.values[run.parameters.range(id)];
        let stream = run.stream(Kind::EmbeddingDropout, 0);
        for (row, &token) in (first..).zip(&run.tokens[first..]) {
            let to = &mut self.x.at_mut(row)[..width];
            match usize::try_from(token) {
                Ok(token) => {
                    let mask = token_mask::<T>(stream, token, dropout);
                    let from = &embedding[token * width..][..width];
                    to.iter_mut().zip(from).for_each(|(to, &x)| *to = x * mask);
                }
                Err(_) => to.fill(T::ZERO),
            }
        }
    }

    /// Sums the gradients of each token's rows, group by group and row by row.
    pub(super) fn sum(&mut self, crew: Crew, scan: &Scan<T>, parts: &[Part<T>]) {
        let (rows, line) = (self.len, scan.line());
        each_block(crew, &mut self.z, self.capacity * line, |block, z| {
            z[..rows * line].fill(T::ZERO);
            for part in parts {
                let from = &part.tapes[scan.tape].z[block * part.group.len * line..];
                let rows = &part.token_rows[scan.tokens.map_or(0, |tokens| tokens.slot)];
                for (dz, &token) in from.chunks_exact(line).zip(rows) {
                    add(&mut z[token as usize * line..][..line], dz);
                }
            }
        });
        self.norm.d_gain.fill(T::ZERO);
        scan.normalise_input_backward(self.capacity, rows, &self.z, &mut self.norm);
    }

    /// Adds the gradients of the tokens' embeddings: the summed gradients times W_ih.
    pub(super) fn embedding_gradient(
        &mut self,
        crew: Crew,
        scan: &Scan<T>,
        run: &Context<'_, T>,
        (id, dropout): (ParamId, f64),
        gradient: &mut [T],
    ) {
        const AT_ONCE: usize = 64;
        let gradient = &mut gradient[run.parameters.range(id)];
        let (rows, room, stride, width) = (self.len, self.capacity, self.dx.stride, scan.inputs);
        let z = if scan.normalises() { &self.norm.x } else { &self.z };
        crew.chunks(&mut self.dx.at_mut(0)[..rows * stride], AT_ONCE * stride, |i, dx| {
            scan.project_backward(
                room,
                &z[i * AT_ONCE * scan.line()..],
                dx.len() / stride,
                Start::Zero,
                dx,
                stride,
            );
        });
        let stream = run.stream(Kind::EmbeddingDropout, 0);
        for (&token, dx) in run.tokens.iter().zip(self.dx.at(0).chunks_exact(stride)) {
            if let Ok(token) = usize::try_from(token) {
                let mask = token_mask::<T>(stream, token, dropout);
                let to = &mut gradient[token * width..][..width];
                to.iter_mut().zip(dx).for_each(|(to, &d)| *to += d * mask);
            }
        }
    }
}

/// The columns of W_ih that tokens stand for: with the bias, unless they are normalised first.
fn columns<T: Elementary>(scan: &Scan<T>, block: usize, tokens: &[i32], weight: &[T], z: &mut [T]) {
    let (lanes, hidden, line) = (scan.lanes, scan.recurrence.hidden, scan.line());
    let units = lanes.min(hidden - block * lanes);
    for (z, &token) in z.chunks_exact_mut(line).zip(tokens) {
        if scan.normalises() {
            z.fill(T::ZERO);
        } else {
            z.copy_from_slice(scan.bias(block));
        }
        let Ok(token) = usize::try_from(token) else { continue };
        for (slot, &gate) in scan.layout.input.iter().enumerate() {
            for l in 0..units {
                z[slot * lanes + l] += weight[(gate * hidden + block * lanes + l) * scan.inputs + token];
            }
        }
    }
}

/// Calls `f` on every unit block of a table, `size` numbers each.
fn each_block<T: Elementary>(
    crew: Crew,
    z: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    if size > 0 {
        crew.chunks(z, size, f);
    }
}
