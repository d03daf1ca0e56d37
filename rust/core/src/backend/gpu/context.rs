//! The adapter that a process computes on: opened once, kept until the process ends.

use super::adapters::{self, Known, unavailable};
use super::kernel::{Kernel, Kernels};
use super::process::{PANIC, on_this_side, same_process};
use crate::error::{Error, GpuTrouble, Result};
#[cfg(test)]
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};
use wgpu::{Limits, PollType};

/// An open adapter: its device and queue.
///
/// Contexts are never dropped: dropping a device while a process ends hangs or crashes with some drivers.
pub(crate) struct Context {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: wgpu::AdapterInfo,
    /// Of the device: what was asked for and granted.
    pub(super) limits: Limits,
    kernels: Kernels,
    health: Arc<Health>,
    /// Whoever computes holds it: work is submitted from one thread at a time.
    turn: Mutex<()>,
    /// How often the host has waited for numbers.
    #[cfg(test)]
    pub(super) reads: AtomicUsize,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({})", self.info.name)
    }
}

/// What has gone wrong on a device, as wgpu's callbacks tell it.
#[derive(Default)]
struct Health {
    /// The first error that no call has reported yet.
    first: Mutex<Option<(GpuTrouble, String)>>,
    /// Why nothing can be computed any more.
    lost: Mutex<Option<String>>,
}

/// The contexts of this process, by the place of their adapters in the list.
static OPEN: Mutex<Vec<(usize, &'static Context)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    fn note(&self, error: wgpu::Error) {
        let trouble = match error {
            wgpu::Error::OutOfMemory { .. } => GpuTrouble::Memory,
            wgpu::Error::Validation { .. } | wgpu::Error::Internal { .. } => GpuTrouble::Internal,
        };
        lock(&self.first).get_or_insert((trouble, error.to_string()));
    }

    fn lose(&self, why: String) {
        lock(&self.lost).get_or_insert(why);
    }
}

impl Context {
    /// The process's context on the adapter of this name, or on the best; opened at the first call.
    pub(crate) fn open(name: Option<&str>) -> Result<&'static Self> {
        let place = adapters::choose(name)?;
        let mut open = lock(&OPEN);
        if let Some((_, context)) = open.iter().find(|(of, _)| *of == place) {
            return Ok(context);
        }
        let context: &'static Self =
            Box::leak(Box::new(on_this_side(|| Self::new(&adapters::list()?[place]))?));
        open.push((place, context));
        Ok(context)
    }

    fn new(known: &Known) -> Result<Self> {
        let (info, limits) = (known.adapter.get_info(), wanted(&known.adapter.limits()));
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("seqrs"),
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(known.adapter.request_device(&descriptor))
            .map_err(|error| unavailable(format!("{} cannot be opened: {error}", info.name)))?;
        Ok(Self::of(device, queue, info))
    }

    /// A device that checks what it is told to do, and does nothing.
    #[cfg(test)]
    pub(crate) fn noop() -> &'static Self {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
            required_limits: wanted(&Limits {
                max_storage_buffers_per_shader_stage: 16,
                ..Limits::defaults()
            }),
            ..Default::default()
        });
        let info = device.adapter_info();
        Box::leak(Box::new(Self::of(device, queue, info)))
    }

    fn of(device: wgpu::Device, queue: wgpu::Queue, info: wgpu::AdapterInfo) -> Self {
        let health = Arc::new(Health::default());
        let of = health.clone();
        device.on_uncaptured_error(Arc::new(move |error| of.note(error)));
        let of = health.clone();
        device.set_device_lost_callback(move |reason, message| of.lose(format!("{reason:?}: {message}")));
        Self {
            limits: device.limits(),
            device,
            queue,
            info,
            kernels: Default::default(),
            health,
            turn: Mutex::new(()),
            #[cfg(test)]
            reads: AtomicUsize::default(),
        }
    }

    /// Computes something while nobody else does. Errors that wgpu has reported on the side come before the
    /// outcome, which may rest on them; a panic of wgpu or of a driver ends here.
    pub(super) fn guard<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        // Before anything is locked: who held a lock when the process was forked is not in the child.
        same_process()?;
        let _turn = lock(&self.turn);
        self.alive()?;
        let done = on_this_side(f);
        if let Err(Error::Gpu(GpuTrouble::Internal, why)) = &done
            && why.starts_with(PANIC)
        {
            self.health.lose(why.clone());
        }
        self.alive()?;
        self.check()?;
        done
    }

    /// The kernel of a text, compiled at its first use.
    pub(super) fn kernel(&self, name: &str, body: &str) -> Arc<Kernel> {
        self.kernels.get(&self.device, name, body)
    }

    /// Fails if something has gone wrong on the device since the last call.
    pub(super) fn check(&self) -> Result<()> {
        match lock(&self.health.first).take() {
            Some((trouble, message)) => Err(Error::Gpu(trouble, message)),
            None => Ok(()),
        }
    }

    /// Waits for all work submitted so far.
    pub(super) fn wait(&self) -> Result<()> {
        let waited = self.device.poll(PollType::wait_indefinitely());
        waited.map_err(|error| Error::Gpu(GpuTrouble::Lost, error.to_string()))?;
        self.check()
    }

    fn alive(&self) -> Result<()> {
        let Some(why) = lock(&self.health.lost).clone() else { return Ok(()) };
        let message = format!(
            "{} is lost to this network ({why}); after seqrs.gpu.reset(), make the network anew and load its \
             weights",
            self.info.name,
        );
        Err(Error::Gpu(GpuTrouble::Lost, message))
    }

    /// Lets nobody compute from now on, once whoever does has finished, at most `patience` from now.
    fn close(&self, why: &str, patience: Duration) {
        let until = Instant::now() + patience;
        let ended = || Instant::now() >= until;
        self.health.lose(why.to_owned());
        while matches!(self.turn.try_lock(), Err(TryLockError::WouldBlock)) && !ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let timeout = Some(until.saturating_duration_since(Instant::now()));
        // Whoever is closed has nobody left to tell.
        let _ =
            on_this_side(|| Ok(self.device.poll(PollType::Wait { submission_index: None, timeout }).is_ok()));
    }
}

/// Closes all contexts, for a process that ends: their work is waited for, and none follows.
pub(crate) fn finish() {
    take_open().into_iter().for_each(|context| context.close("the process ends", Duration::from_secs(60)));
}

/// Closes all contexts and gives their memory back: the next to be opened is a new one.
pub(crate) fn reset() {
    for context in take_open() {
        context.close("seqrs.gpu.reset() has closed it", Duration::from_secs(60));
        let _ = on_this_side(|| {
            context.device.destroy();
            Ok(())
        });
    }
}

fn take_open() -> Vec<&'static Context> {
    if same_process().is_err() {
        return Vec::new();
    }
    std::mem::take(&mut *lock(&OPEN)).into_iter().map(|(_, context)| context).collect()
}

/// What is asked of an adapter: what kernels use, and no more than it has. A device gets no more than is asked.
fn wanted(offered: &Limits) -> Limits {
    let invocations = offered.max_compute_invocations_per_workgroup.min(1024);
    Limits {
        max_buffer_size: offered.max_buffer_size,
        max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size.min(1 << 31),
        max_storage_buffers_per_shader_stage: offered.max_storage_buffers_per_shader_stage.min(16),
        max_compute_workgroup_storage_size: offered.max_compute_workgroup_storage_size.min(32 << 10),
        max_compute_invocations_per_workgroup: invocations,
        max_compute_workgroup_size_x: offered.max_compute_workgroup_size_x.min(invocations),
        ..Limits::defaults().or_worse_values_from(offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_than_offered() {
        let offered = Limits { max_texture_dimension_3d: 64, ..Limits::defaults() };
        assert!(wanted(&offered).check_limits(&offered));
        let most = Limits { max_compute_workgroup_storage_size: 1 << 20, ..Limits::unlimited() };
        assert!(wanted(&most).check_limits(&most));
        assert_eq!(wanted(&most).max_compute_workgroup_storage_size, 32 << 10);
        assert!(wanted(&most).max_storage_buffer_binding_size <= 1 << 31);
    }
}
