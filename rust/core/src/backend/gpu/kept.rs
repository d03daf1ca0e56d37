//! A state that stays on the device from one run to the next.

use super::context::Context;
use crate::error::Result;
use crate::program::HeldState;

/// A copy of the state after a run: runs that follow do not change it.
#[derive(Debug)]
pub(super) struct Kept {
    pub context: &'static Context,
    pub buffer: wgpu::Buffer,
    size: usize,
}

impl Kept {
    /// A copy of so many numbers, as they are when all work submitted so far is done.
    pub fn of(context: &'static Context, state: &wgpu::Buffer, size: usize) -> Result<Self> {
        let buffer = context.buffer("carried state", size)?;
        context.copy(state, &buffer, size);
        Ok(Self { context, buffer, size })
    }
}

impl HeldState<f32> for Kept {
    fn size(&self) -> usize {
        self.size
    }

    fn fetch(&self) -> Result<Vec<f32>> {
        self.context.guard(|| self.context.read(&self.buffer, 0, self.size))
    }
}
