//! The memory that a layer attends to, brought to the device.

use super::context::Context;
use super::segments::Segment;
use crate::error::Result;
use crate::program::{Memory, Program};

/// A memory of S steps a row, and what comes back of it.
#[derive(Clone)]
pub(super) struct Attended {
    /// S.
    pub steps: usize,
    /// (B, S, D), zeros behind the steps of each row.
    pub values: wgpu::Buffer,
    /// Steps of each row, (B).
    pub lengths: wgpu::Buffer,
    /// Of each step of the memory its share, (T, B, S), segment by segment.
    pub shares: Vec<wgpu::Buffer>,
    /// The gradient, (B, S, D).
    pub d: wgpu::Buffer,
}

impl Attended {
    /// Room for one of so many steps, if the program attends to any; and for its gradient, where a run learns.
    pub fn new(
        context: &Context,
        program: &Program,
        segments: &[Segment],
        [batch, steps]: [usize; 2],
        learns: bool,
    ) -> Result<Option<Self>> {
        let Some(width) = program.memory else { return Ok(None) };
        let numbers = batch * steps * width;
        let shares =
            |segment: &Segment| context.buffer("shares of the memory", segment.steps * batch * steps);
        Ok(Some(Self {
            steps,
            values: context.buffer("memory", numbers)?,
            lengths: context.buffer("lengths of the memory", batch)?,
            shares: segments.iter().map(shares).collect::<Result<_>>()?,
            d: context.buffer("gradient of the memory", if learns { numbers } else { 0 })?,
        }))
    }

    /// Brings a batch's memory there. What is behind the steps of a row may be anything, and is left out.
    pub fn write(&self, context: &Context, memory: &Memory<'_, f32>, width: usize, batch: usize) {
        let lengths: Vec<u32> = (0..batch).map(|row| memory.length(row) as u32).collect();
        context.write(&self.lengths, 0, &lengths);
        if memory.lengths.is_none() {
            context.write(&self.values, 0, memory.values);
            return;
        }
        let row_len = memory.steps * width;
        let mut values = vec![0.0; batch * row_len];
        for (row, values) in values.chunks_exact_mut(row_len.max(1)).enumerate() {
            let counted = memory.length(row) * width;
            values[..counted].copy_from_slice(&memory.of_row(row, width)[..counted]);
        }
        context.write(&self.values, 0, &values);
    }
}
