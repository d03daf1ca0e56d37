//! Ops that only move or add rows: reversal in time, two slots side by side, and sums.

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use crate::program::{Slot, SlotId};
use std::mem::take;

/// Each row's steps in reverse order; of a slot of tokens, their places in the table.
pub(super) struct Reverse {
    pub(super) input: Reach,
    pub(super) out: SlotId,
    pub(super) width: usize,
    /// Whether the slot is the input itself, and so may hold tokens.
    pub(super) of_input: bool,
}

impl<T: Elementary> Local<T> for Reverse {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        if self.of_input && run.from_tokens {
            let mut to = take(&mut part.token_rows[self.out]);
            let from = &part.token_rows[self.input.slot];
            to.clear();
            to.extend(part.group.reversed.iter().map(|&row| from[row as usize]));
            part.token_rows[self.out] = to;
            return;
        }
        part.with_slot(self.out, |part, out| {
            let input = &part.slots[self.input.slot];
            for (row, &from) in part.group.reversed.iter().enumerate() {
                out.at_mut(row)[..self.width].copy_from_slice(&input.at(from as usize)[..self.width]);
            }
        });
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        if self.of_input && run.from_tokens {
            return;
        }
        part.with_gradient(self.input.slot, |part, dx| {
            let dy = &part.d_slots[self.out];
            for (row, &from) in part.group.reversed.iter().enumerate() {
                let dy = dy.at(from as usize)[..self.width].iter().copied();
                self.input.put_row(dx.row_mut(row), dy);
            }
        });
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        vec![&mut self.input]
    }
}

/// Two slots side by side.
pub(super) struct Concat {
    pub(super) inputs: [Reach; 2],
    pub(super) out: SlotId,
    pub(super) widths: [usize; 2],
    pub(super) kind: Slot,
}

impl<T: Elementary> Local<T> for Concat {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        part.with_slot(self.out, |part, out| {
            for row in 0..part.len(self.kind) {
                let (a, b) = out.at_mut(row).split_at_mut(self.widths[0]);
                for ((to, input), width) in [a, b].into_iter().zip(self.inputs).zip(self.widths) {
                    to[..width].copy_from_slice(&part.slots[input.slot].at(row)[..width]);
                }
            }
        });
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        for ((input, width), start) in self.inputs.into_iter().zip(self.widths).zip([0, self.widths[0]]) {
            part.with_gradient(input.slot, |part, dx| {
                let dy = &part.d_slots[self.out];
                for row in 0..part.len(self.kind) {
                    let dy = dy.at(row)[start..][..width].iter().copied();
                    input.put_row(dx.row_mut(row), dy);
                }
            });
        }
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        self.inputs.iter_mut().collect()
    }
}

/// (a + b) · scale.
pub(super) struct Add {
    pub(super) inputs: [Reach; 2],
    pub(super) out: SlotId,
    pub(super) scale: f64,
    pub(super) kind: Slot,
}

impl<T: Elementary> Local<T> for Add {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let (width, scale) = (self.kind.width(), T::from_f64(self.scale));
        part.with_slot(self.out, |part, out| {
            let [a, b] = self.inputs.map(|input| &part.slots[input.slot]);
            for row in 0..part.len(self.kind) {
                let sums = a.at(row).iter().zip(b.at(row)).map(|(&a, &b)| (a + b) * scale);
                out.at_mut(row)[..width].iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
            }
        });
    }

    fn backward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {
        let (width, scale) = (self.kind.width(), T::from_f64(self.scale));
        for input in self.inputs {
            part.with_gradient(input.slot, |part, dx| {
                let dy = &part.d_slots[self.out];
                for row in 0..part.len(self.kind) {
                    let dy = dy.at(row)[..width].iter().map(|&d| d * scale);
                    input.put_row(dx.row_mut(row), dy);
                }
            });
        }
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        self.inputs.iter_mut().collect()
    }
}
