//! Memory on the device.

use super::budget::{only_asked, refusal, size};
use super::context::Context;
use crate::error::{Error, GpuTrouble, Result};
use std::sync::mpsc;
use wgpu::BufferUsages;

impl Context {
    /// A buffer of this many numbers of 4 bytes, all zero.
    pub(super) fn buffer(&self, name: &str, len: usize) -> Result<wgpu::Buffer> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        self.allocate(name, len, usage)
    }

    /// A buffer of this many words that all kernels of a run see.
    pub(super) fn uniform(&self, name: &str, len: usize) -> Result<wgpu::Buffer> {
        self.allocate(name, len, BufferUsages::UNIFORM | BufferUsages::COPY_DST)
    }

    fn allocate(&self, name: &str, len: usize, usage: BufferUsages) -> Result<wgpu::Buffer> {
        let len = if only_asked(name, len) { 0 } else { len };
        let bytes = 4 * len.max(4) as u64;
        let most = self.most_in_one_piece();
        if bytes > most {
            let held = format!("{} holds at most {} in one piece", self.info.name, size(most));
            return Err(refusal(format!("{name} takes {}; {held}", size(bytes))));
        }
        self.room(bytes)?.map_err(|room| {
            refusal(format!(
                "{name} takes {}, and {room}; reduce the batch, its steps or the model",
                size(bytes)
            ))
        })?;
        let descriptor =
            wgpu::BufferDescriptor { label: Some(name), size: bytes, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        // The device may have had no room.
        self.check()?;
        Ok(buffer)
    }

    /// Writes numbers into a buffer from number `from` on, before all work submitted from now on.
    pub(super) fn write<T: bytemuck::NoUninit>(&self, buffer: &wgpu::Buffer, from: usize, values: &[T]) {
        if !values.is_empty() {
            self.queue.write_buffer(buffer, 4 * from as u64, bytemuck::cast_slice(values));
        }
    }

    /// Copies the first numbers of a buffer to another, when all work submitted so far is done.
    pub(super) fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer, len: usize) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(from, 0, to, 0, 4 * len as u64);
        self.queue.submit([encoder.finish()]);
    }

    /// Zeros in every number of some buffers.
    pub(super) fn clear<'a>(&self, buffers: impl IntoIterator<Item = &'a wgpu::Buffer>) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        buffers.into_iter().for_each(|buffer| encoder.clear_buffer(buffer, 0, None));
        self.queue.submit([encoder.finish()]);
    }

    /// Copies numbers out of a buffer, from number `from` on, when all work submitted so far is done.
    pub(super) fn read<T: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        from: usize,
        len: usize,
    ) -> Result<Vec<T>> {
        let size = 4 * len as u64;
        if size == 0 {
            return Ok(Vec::new());
        }
        #[cfg(test)]
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read"),
            size,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 4 * from as u64, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        let (send, receive) = mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |mapped| {
            // Nobody listens where waiting has failed, and that is reported.
            let _ = send.send(mapped);
        });
        self.wait()?;
        let lost = |why: String| Error::Gpu(GpuTrouble::Lost, why);
        let mapped = receive.try_recv().map_err(|error| lost(error.to_string()))?;
        mapped.map_err(|error| lost(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view))
    }
}
