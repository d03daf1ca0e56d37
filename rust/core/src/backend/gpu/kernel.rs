//! Kernels: WGSL sources compiled once a process, each with the layout of what it binds.
//!
//! A kernel is a file in `wgsl/`, or the text a generator makes of one. Before it comes `prelude.wgsl`. Its
//! bindings are: 0, the numbers of one call ([`super::calls`]); 1, those of the whole run; from 2 on, buffers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Threads in a workgroup of a kernel that goes number by number: `THREADS` in the prelude.
pub(super) const THREADS: usize = 256;
/// Workgroups in one dimension of a grid, at most: `GRID` in the prelude.
pub(super) const GRID: usize = 65_535;

/// Bytes of memory that every device has for a workgroup.
const MEMORY: usize = 16_384;

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    /// How many buffers it binds.
    pub buffers: usize,
}

/// Those compiled so far, by their text.
#[derive(Default)]
pub(super) struct Kernels(Mutex<HashMap<String, Arc<Kernel>>>);

impl Kernels {
    /// The kernel of a text, compiled at its first use.
    pub fn get(&self, device: &wgpu::Device, name: &str, body: &str) -> Arc<Kernel> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = known.get(body) {
            return kernel.clone();
        }
        let kernel = Arc::new(Kernel::compile(device, name, body));
        known.insert(body.to_owned(), kernel.clone());
        kernel
    }
}

impl Kernel {
    fn compile(device: &wgpu::Device, name: &str, body: &str) -> Self {
        // wgpu does not check it.
        debug_assert!(workgroup_bytes(body) <= MEMORY, "{name} takes {} bytes", workgroup_bytes(body));
        let buffers = accesses(body);
        let entry = |binding: usize, ty, dynamic| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
            count: None,
        };
        let uniform = wgpu::BufferBindingType::Uniform;
        let mut entries = vec![entry(0, uniform, true), entry(1, uniform, false)];
        let storage = |(i, &read_only): (usize, &bool)| {
            entry(i + 2, wgpu::BufferBindingType::Storage { read_only }, false)
        };
        entries.extend(buffers.iter().enumerate().map(storage));
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries };
        let layout = device.create_bind_group_layout(&descriptor);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source(body).into()),
        };
        // Bounds are checked; a counter in every loop would cost the innermost ones their unrolling.
        let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..Default::default() };
        // SAFETY: no kernel has an infinite loop: each counts up to a number that is known before it, or
        // halves one down to 0.
        #[allow(unsafe_code)]
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes its workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        Self { pipeline, layout, buffers: buffers.len() }
    }
}

/// The whole text of a kernel.
pub(super) fn source(body: &str) -> String {
    format!("{}\n{body}", include_str!("wgsl/prelude.wgsl"))
}

/// Of each buffer that a text declares, in the order of its bindings, whether it is only read.
fn accesses(body: &str) -> Vec<bool> {
    let declared = body.lines().filter(|line| line.contains("var<storage"));
    declared.map(|line| line.contains("var<storage, read>")).collect()
}

/// Bytes of memory that a workgroup has: its arrays of numbers, or of vectors of four.
fn workgroup_bytes(body: &str) -> usize {
    let declared = body.lines().filter(|line| line.contains("var<workgroup>"));
    declared
        .map(|line| {
            let (_, rest) = line.split_once("array<").unwrap_or_default();
            let (of, len) = rest.rsplit_once(", ").unwrap_or_default();
            let len = len.trim_end_matches(['>', ';']);
            let len = if len == "THREADS" { THREADS } else { len.parse().unwrap_or(usize::MAX / 16) };
            len * if of.starts_with("vec4") { 16 } else { 4 }
        })
        .sum()
}

/// The grid of a kernel that goes over `n` numbers, one a thread.
pub(super) fn over(n: usize) -> [usize; 3] {
    let groups = n.div_ceil(THREADS);
    [groups.min(GRID), groups.div_ceil(GRID), 1]
}
