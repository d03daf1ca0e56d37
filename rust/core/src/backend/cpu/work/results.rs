//! What a run came to, read by users' own shapes: packed rows back into (B, T, width).

use super::super::Cpu;
use super::super::math::Elementary;
use super::super::part::Part;
use super::super::scratch::Rows;
use super::super::threads::enter;
use super::Work;
use crate::backend::{Quantity, mean_loss};
use crate::error::Result;
use crate::program::Slot;

/// What copying a number is worth in floating point operations.
const OPERATIONS_TO_COPY: f64 = 16.0;

impl<T: Elementary> Work<T> {
    pub(in super::super) fn loss(&self) -> f64 {
        let rows = |part| {
            let part: &Part<T> = part;
            part.targets.iter().copied().zip(part.log_probs.iter().copied())
        };
        mean_loss(self.parts.iter().flat_map(rows))
    }

    pub(in super::super) fn read(&self, cpu: &Cpu<T>, quantity: Quantity, out: &mut [T]) -> Result<()> {
        let program = &cpu.program;
        match quantity {
            Quantity::State => out.copy_from_slice(&self.state),
            Quantity::StateGradient => out.copy_from_slice(&self.d_state),
            Quantity::Penalty => out[0] = self.parts.iter().fold(T::ZERO, |sum, part| sum + part.penalty),
            Quantity::Output => {
                self.unpack(program.slots[program.output], out, |p| &p.slots[program.output])?
            }
            Quantity::InputGradient => {
                self.unpack(program.slots[program.input], out, |p| &p.d_slots[program.input])?;
            }
            Quantity::MemoryGradient => {
                let width = program.memory.unwrap_or(0);
                out.fill(T::ZERO);
                for part in &self.parts {
                    for (i, &b) in part.group.rows.iter().enumerate() {
                        let to = out[b * self.memory_steps * width..].chunks_exact_mut(width);
                        for (row, to) in part.memory.of_row(i).zip(to) {
                            to.copy_from_slice(&part.memory.d_values.at(row)[..width]);
                        }
                    }
                }
            }
            Quantity::Attention => {
                out.fill(T::ZERO);
                for scan in cpu.scans().filter(|scan| scan.attend.is_some()) {
                    for part in &self.parts {
                        let shares = &part.tapes[scan.tape].attend.shares;
                        for (i, &b) in part.group.rows.iter().enumerate() {
                            let count = part.memory.of_row(i).len();
                            for (t, row) in part.group.times_of_row(i) {
                                let to = &mut out[(b * self.steps + t) * self.memory_steps..][..count];
                                to.copy_from_slice(&shares.at(row)[..count]);
                            }
                        }
                    }
                }
            }
            Quantity::LogProbs => {
                out.fill(T::ZERO);
                for part in &self.parts {
                    for (b, t, row) in part.group.places() {
                        out[b * self.steps + t] = part.log_probs[row];
                    }
                }
            }
        }
        Ok(())
    }

    /// A result as a vector, filled by all threads where it is large.
    pub(in super::super) fn result(&self, cpu: &Cpu<T>, quantity: Quantity, len: usize) -> Result<Vec<T>> {
        let program = &cpu.program;
        match quantity {
            Quantity::Output => {
                self.unpacked(program.slots[program.output], len, |p| &p.slots[program.output])
            }
            Quantity::InputGradient => {
                self.unpacked(program.slots[program.input], len, |p| &p.d_slots[program.input])
            }
            _ => {
                let mut out = vec![T::ZERO; len];
                self.read(cpu, quantity, &mut out).map(|()| out)
            }
        }
    }

    /// A slot's packed rows into (B, T, width) or (B, width).
    fn unpack(
        &self,
        slot: Slot,
        out: &mut [T],
        rows: impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T> + Send + Sync,
    ) -> Result<()> {
        let size = self.row_numbers(slot);
        let fill = |b, to: &mut [T]| self.unpack_row(slot, b, to, &rows);
        enter(out.len() as f64 * OPERATIONS_TO_COPY, |crew| crew.chunks(out, size, fill))
    }

    /// The same into a vector of `len` numbers.
    fn unpacked(
        &self,
        slot: Slot,
        len: usize,
        rows: impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T> + Send + Sync,
    ) -> Result<Vec<T>> {
        let fill = |b, to: &mut [T]| self.unpack_row(slot, b, to, &rows);
        enter(len as f64 * OPERATIONS_TO_COPY, |crew| crew.made(len, self.row_numbers(slot), fill))
    }

    /// Numbers of a batch row of a slot, at least one.
    fn row_numbers(&self, slot: Slot) -> usize {
        (slot.width() * if slot.is_pooled() { 1 } else { self.steps }).max(1)
    }

    fn unpack_row(
        &self,
        slot: Slot,
        b: usize,
        to: &mut [T],
        rows: &impl for<'p> Fn(&'p Part<T>) -> &'p Rows<T>,
    ) {
        for part in &self.parts {
            if let Some(i) = part.group.rows.iter().position(|&row| row == b) {
                part.unpack(rows(part), i, slot, to);
            }
        }
    }
}
