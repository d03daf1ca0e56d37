//! The memory that a group's rows attend to, packed: the steps that count, one row's after another's.

use super::math::Elementary;
use super::scratch::{Buffer, Rows, padded};
use crate::program;
use std::ops::Range;
use std::sync::Arc;

/// m of every step, and what is made of it.
#[derive(Default)]
pub(crate) struct Seen<T> {
    pub(crate) values: Rows<T>,
    /// U m, where a score has it.
    pub(crate) keys: Rows<T>,
}

#[derive(Default)]
pub(crate) struct Memory<T> {
    pub(crate) own: Seen<T>,
    /// What was made before the run, in the place of `own`.
    ready: Option<Arc<Seen<T>>>,
    pub(crate) d_values: Rows<T>,
    pub(crate) d_keys: Rows<T>,
    /// The steps of each of the group's rows.
    steps: Vec<Range<usize>>,
}

/// What this backend makes of a memory before a run.
pub(crate) struct Made<T> {
    /// Of the weights.
    version: u64,
    seen: Arc<Seen<T>>,
    steps: Vec<Range<usize>>,
}

impl<T: Elementary> Memory<T> {
    /// Takes over what a run with these weights can use of what was made before it; whether there is any.
    pub(crate) fn borrow(&mut self, memory: &program::Memory<'_, T>, rows: &[usize], version: u64) -> bool {
        let made = memory.chosen.and_then(|chosen| chosen.made.downcast_ref::<Made<T>>());
        let made = made.filter(|made| made.version == version);
        self.ready = made.map(|made| Arc::clone(&made.seen));
        if let Some(made) = made {
            self.steps.clear();
            self.steps.extend(rows.iter().map(|&b| made.steps[memory.row(b)].clone()));
        }
        made.is_some()
    }

    /// This, with its keys made, for other runs.
    pub(crate) fn made(self, version: u64) -> Made<T> {
        Made { version, seen: Arc::new(self.own), steps: self.steps }
    }

    /// What the rows look at.
    pub(crate) fn seen(&self) -> &Seen<T> {
        self.ready.as_deref().unwrap_or(&self.own)
    }

    /// Whether the keys are there already.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Takes over the memory of these rows of a batch, each step of `width` numbers.
    pub(crate) fn load(
        &mut self,
        memory: &program::Memory<'_, T>,
        rows: &[usize],
        width: usize,
        lanes: usize,
    ) {
        self.steps.clear();
        for &b in rows {
            let first = self.len();
            self.steps.push(first..first + memory.length(b));
        }
        let count = self.len();
        fit(&mut self.own.values, count, width, lanes);
        for (i, &b) in rows.iter().enumerate() {
            let steps = memory.of_row(b, width).chunks_exact(width);
            for (row, m) in self.of_row(i).zip(steps) {
                self.own.values.at_mut(row)[..width].copy_from_slice(m);
            }
        }
    }

    /// Steps of all rows of its own.
    pub(crate) fn len(&self) -> usize {
        self.steps.last().map_or(0, |steps| steps.end)
    }

    /// The steps of the group's row `i`.
    pub(crate) fn of_row(&self, i: usize) -> Range<usize> {
        self.steps[i].clone()
    }
}

/// Room for `count` rows of `width` numbers, made anew where there is too little.
pub(crate) fn fit<T: Elementary>(rows: &mut Rows<T>, count: usize, width: usize, lanes: usize) {
    let stride = padded(width, lanes);
    if rows.stride != stride || rows.data.len() < count * stride {
        *rows = Rows { data: Buffer::new(count.next_power_of_two() * stride), stride, lead: 0 };
    }
}
