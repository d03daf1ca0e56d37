//! The memory that a group's rows attend to, packed: the steps that count, one row's after another's.

use super::math::Elementary;
use super::scratch::{Buffer, Rows, padded};
use crate::program;
use std::ops::Range;

/// m of every step, and what is made of it.
#[derive(Default)]
pub(crate) struct Memory<T> {
    pub(crate) values: Rows<T>,
    /// U m, where a score has it.
    pub(crate) keys: Rows<T>,
    pub(crate) d_values: Rows<T>,
    pub(crate) d_keys: Rows<T>,
    /// Where each of the group's rows begins, and where the last one ends.
    first: Vec<usize>,
}

impl<T: Elementary> Memory<T> {
    /// Takes over the memory of these rows of a batch, each step of `width` numbers.
    pub(crate) fn load(
        &mut self,
        memory: &program::Memory<'_, T>,
        rows: &[usize],
        width: usize,
        lanes: usize,
    ) {
        self.first.clear();
        self.first.push(0);
        for &b in rows {
            self.first.push(self.len() + memory.length(b));
        }
        let count = self.len();
        fit(&mut self.values, count, width, lanes);
        for (i, &b) in rows.iter().enumerate() {
            let steps = memory.values[b * memory.steps * width..].chunks_exact(width);
            for (row, m) in self.of_row(i).zip(steps) {
                self.values.at_mut(row)[..width].copy_from_slice(m);
            }
        }
    }

    /// Steps of all rows.
    pub(crate) fn len(&self) -> usize {
        self.first.last().copied().unwrap_or(0)
    }

    /// The steps of the group's row `i`.
    pub(crate) fn of_row(&self, i: usize) -> Range<usize> {
        self.first[i]..self.first[i + 1]
    }
}

/// Room for `count` rows of `width` numbers, made anew where there is too little.
pub(crate) fn fit<T: Elementary>(rows: &mut Rows<T>, count: usize, width: usize, lanes: usize) {
    let stride = padded(width, lanes);
    if rows.stride != stride || rows.data.len() < count * stride {
        *rows = Rows { data: Buffer::new(count.next_power_of_two() * stride), stride, lead: 0 };
    }
}
