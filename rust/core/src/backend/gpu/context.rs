//! The adapter that a process computes on: opened once, kept until the process ends.

use crate::error::{Error, GpuTrouble, Result};
use std::sync::{Mutex, PoisonError};
use wgpu::PollType;

/// An open adapter: its device and queue.
///
/// Contexts are never dropped: dropping a device while a process ends hangs or crashes with some drivers.
pub(crate) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: wgpu::AdapterInfo,
    /// Of the device: what was asked for and granted.
    pub(super) limits: wgpu::Limits,
    /// Whether the processor plays the adapter.
    pub(super) software: bool,
    pub(super) kernels: super::kernel::Kernels,
    /// The first error that no call has reported yet.
    trouble: std::sync::Arc<Mutex<Option<String>>>,
}

impl Context {
    /// The process's context, opened at the first call.
    pub(crate) fn open() -> Result<&'static Self> {
        static OPEN: Mutex<Option<&'static Context>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = *open {
            return Ok(context);
        }
        let context: &'static Self = Box::leak(Box::new(Self::new()?));
        *open = Some(context);
        Ok(context)
    }

    fn new() -> Result<Self> {
        let unavailable = |message: String| Error::Gpu(GpuTrouble::Unavailable, message);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let Some(adapter) = adapters.into_iter().next() else {
            return Err(unavailable("no graphics adapter was found".to_owned()));
        };
        let (info, offered) = (adapter.get_info(), adapter.limits());
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffers_per_shader_stage: offered.max_storage_buffers_per_shader_stage.min(16),
            ..wgpu::Limits::default()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("seqrs"),
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| unavailable(format!("{}: {error}", info.name)))?;
        let trouble = std::sync::Arc::new(Mutex::new(None));
        let first = trouble.clone();
        device.on_uncaptured_error(std::sync::Arc::new(move |error: wgpu::Error| {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }));
        let software = info.device_type == wgpu::DeviceType::Cpu;
        Ok(Self { device, queue, info, limits, software, kernels: Default::default(), trouble })
    }

    /// Fails if something has gone wrong on the device since the last call.
    pub(super) fn check(&self) -> Result<()> {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(message) => Err(Error::Gpu(GpuTrouble::Internal, message)),
            None => Ok(()),
        }
    }

    /// Waits for all work submitted so far.
    pub(super) fn wait(&self) -> Result<()> {
        let waited = self.device.poll(PollType::wait_indefinitely());
        waited.map_err(|error| Error::Gpu(GpuTrouble::Lost, error.to_string()))?;
        self.check()
    }
}
