//! What something will take of the device's memory, added up before any of it is taken.

use super::adapters;
use super::context::Context;
use crate::error::{Error, GpuTrouble, Result};
use std::cell::RefCell;

/// The largest tensors that a refusal names.
const NAMED: usize = 3;

/// Tensors to be allocated, by name.
#[derive(Default)]
pub(super) struct Budget(Vec<(String, u64)>);

thread_local! {
    /// What this thread would have allocated, while it only asks.
    static ASKED: RefCell<Option<Budget>> = const { RefCell::new(None) };
}

/// Notes a tensor and says so, while its thread is in [`Budget::of`].
pub(super) fn only_asked(name: &str, numbers: usize) -> bool {
    ASKED.with_borrow_mut(|asked| asked.as_mut().map(|budget| budget.add(name, numbers)).is_some())
}

impl Budget {
    /// What `make` allocates, without allocating it: buffers are of a few numbers meanwhile.
    pub fn of<R>(make: impl FnOnce() -> Result<R>) -> Result<Self> {
        /// Ends the asking, after a panic too.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                ASKED.set(None);
            }
        }
        ASKED.set(Some(Self::default()));
        let _end = End;
        let made = make();
        let budget = ASKED.take().unwrap_or_default();
        made.map(|_| budget)
    }

    /// Adds a tensor of this many numbers of 4 bytes.
    fn add(&mut self, name: impl Into<String>, numbers: usize) {
        self.0.push((name.into(), 4 * numbers as u64));
    }

    /// Bytes of the largest.
    pub fn largest(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// Fails if the device has no room for it all beside what it holds: `reduce` is what one can do then.
    pub fn check(mut self, context: &Context, reduce: &str) -> Result<()> {
        let Self(tensors) = &mut self;
        tensors.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let largest: Vec<_> =
            tensors.iter().take(NAMED).map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
        let largest = largest.join(", ");
        let most = context.most_in_one_piece();
        if tensors.first().is_some_and(|(_, bytes)| *bytes > most) {
            return Err(refusal(format!(
                "{} holds at most {} in one piece; the largest tensors are {largest}; {reduce}",
                context.info.name,
                size(most),
            )));
        }
        let all = tensors.iter().map(|(_, bytes)| bytes).sum();
        context.room(all)?.map_err(|room| {
            refusal(format!("{} are needed, {room}; the largest tensors are {largest}; {reduce}", size(all)))
        })
    }
}

impl Context {
    /// Bytes that a buffer can have.
    pub(super) fn most_in_one_piece(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Bytes of all buffers there are, those counted that are dropped while work with them is under way.
    /// 0 on Metal, where wgpu does not tell.
    pub(super) fn used(&self) -> u64 {
        self.device.generate_allocator_report().map_or(0, |report| report.total_allocated_bytes)
    }

    /// Whether there is room for so many bytes more below the cap, or how much there is.
    pub(super) fn room(&self, bytes: u64) -> Result<std::result::Result<(), String>> {
        let Some(cap) = adapters::cap()? else { return Ok(Ok(())) };
        if self.used() + bytes > cap {
            self.wait()?;
        }
        let used = self.used();
        if used + bytes <= cap {
            return Ok(Ok(()));
        }
        Ok(Err(format!("{} of the {} of SEQRS_GPU_MAX_BYTES are taken", size(used), size(cap))))
    }
}

pub(super) fn refusal(message: String) -> Error {
    Error::Gpu(GpuTrouble::Memory, message)
}

/// A number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 1023, 1536, 5 << 20, 3 << 30].map(size),
            ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
        );
    }
}
