//! Calls of kernels, recorded once for a shape of batch and replayed run after run.

use super::context::Context;
use super::kernel::Kernel;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes that the numbers of one call take: what the offset of a uniform binding must be a multiple of.
const SLOT: usize = 256;
/// Calls in one command buffer, at most: the device starts on the first while the next is recorded.
const TOGETHER: usize = 256;

/// Something that a kernel takes as one word.
pub(super) trait Word {
    /// Its bits.
    fn word(self) -> u32;
}

impl Word for usize {
    fn word(self) -> u32 {
        self as u32
    }
}

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for bool {
    fn word(self) -> u32 {
        self.into()
    }
}

impl Word for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}

impl Word for f64 {
    fn word(self) -> u32 {
        (self as f32).to_bits()
    }
}

/// The numbers of one call, in the order of the kernel's struct `P`.
macro_rules! words {
    ($($x:expr),* $(,)?) => { &[$($crate::backend::gpu::calls::Word::word($x)),*] };
}
pub(super) use words;

struct Call {
    kernel: Arc<Kernel>,
    buffers: Vec<wgpu::Buffer>,
    grid: [usize; 3],
}

/// A list of calls in the making.
#[derive(Default)]
pub(super) struct Calls {
    list: Vec<Call>,
    words: Vec<u32>,
}

impl Calls {
    /// Adds a call. What `buffers` are is for the kernel to say, as is what `words` mean.
    pub fn add(&mut self, kernel: &Arc<Kernel>, buffers: &[&wgpu::Buffer], words: &[u32], grid: [usize; 3]) {
        debug_assert_eq!(kernel.buffers, buffers.len(), "buffers of {:?}", kernel.pipeline);
        debug_assert!(words.len() * 4 <= SLOT, "{} words", words.len());
        if grid.contains(&0) {
            return;
        }
        self.words.extend(words);
        self.words.resize((self.list.len() + 1) * SLOT / 4, 0);
        let buffers = buffers.iter().map(|&buffer| buffer.clone()).collect();
        self.list.push(Call { kernel: kernel.clone(), buffers, grid });
    }

    /// Adds the calls of another list behind these.
    pub fn append(&mut self, other: Self) {
        self.list.extend(other.list);
        self.words.extend(other.words);
    }

    /// Ends the list; `run` holds the numbers of a run.
    pub fn finish(self, context: &Context, run: &wgpu::Buffer) -> Recorded {
        let words = context.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("calls"),
            size: (self.words.len() * 4).max(SLOT) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        context.queue.write_buffer(&words, 0, bytemuck::cast_slice(&self.words));
        // The steps of a layer are many calls with the same buffers.
        // A buffer is hashed by which one it is, not by what it holds.
        #[allow(clippy::mutable_key_type)]
        let mut groups: HashMap<_, wgpu::BindGroup> = HashMap::new();
        let mut steps = Vec::with_capacity(self.list.len());
        for (i, Call { kernel, buffers, grid }) in self.list.into_iter().enumerate() {
            let make = || group(context, &kernel, &words, run, &buffers);
            let key = (Arc::as_ptr(&kernel) as usize, buffers.clone());
            let group = groups.entry(key).or_insert_with(make).clone();
            steps.push(Step { kernel, group, offset: (i * SLOT) as u32, grid: grid.map(|n| n as u32) });
        }
        Recorded { steps, words }
    }
}

fn group(
    context: &Context,
    kernel: &Kernel,
    words: &wgpu::Buffer,
    run: &wgpu::Buffer,
    buffers: &[wgpu::Buffer],
) -> wgpu::BindGroup {
    let slot = wgpu::BufferBinding { buffer: words, offset: 0, size: std::num::NonZeroU64::new(SLOT as u64) };
    let mut entries = vec![
        wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(slot) },
        wgpu::BindGroupEntry { binding: 1, resource: run.as_entire_binding() },
    ];
    entries.extend(
        (2..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
    );
    let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &kernel.layout, entries: &entries };
    context.device.create_bind_group(&descriptor)
}

struct Step {
    kernel: Arc<Kernel>,
    group: wgpu::BindGroup,
    offset: u32,
    grid: [u32; 3],
}

/// A list of calls, ready to run.
pub(super) struct Recorded {
    steps: Vec<Step>,
    words: wgpu::Buffer,
}

impl Recorded {
    /// Other numbers for one of the calls, from the next submission on.
    pub fn set(&self, context: &Context, call: usize, words: &[u32]) {
        context.write(&self.words, call * SLOT / 4, words);
    }

    /// How many calls there are.
    #[cfg(test)]
    pub fn calls(&self) -> usize {
        self.steps.len()
    }

    /// Submits all calls. Each sees what those before it have written.
    pub fn submit(&self, context: &Context) {
        Self::submit_in_turn(context, &[self], 1);
    }

    /// Submits the lists one after the other, all of that `times` times.
    pub fn submit_in_turn(context: &Context, lists: &[&Self], times: usize) {
        let mut steps = (0..times).flat_map(|_| lists.iter().flat_map(|list| &list.steps)).peekable();
        while steps.peek().is_some() {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for Step { kernel, group, offset, grid: [x, y, z] } in steps.by_ref().take(TOGETHER) {
                pass.set_pipeline(&kernel.pipeline);
                pass.set_bind_group(0, group, &[*offset]);
                pass.dispatch_workgroups(*x, *y, *z);
            }
            drop(pass);
            context.queue.submit([encoder.finish()]);
        }
    }
}
