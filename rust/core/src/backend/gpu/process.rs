//! What a driver must not do to the process: a fork is noticed, and a panic goes no further.

use crate::error::{Error, GpuTrouble, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

/// The process that has listed the adapters; 0 before.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Refuses to go on in a process that was forked after adapters were listed or opened: the driver's threads,
/// and whoever held a lock, are not in the child.
pub(super) fn same_process() -> Result<()> {
    let (this, none) = (std::process::id(), 0);
    match PROCESS.compare_exchange(none, this, Ordering::Relaxed, Ordering::Relaxed) {
        Err(first) if first != this => {
            let why = "opened before this process was forked, and cannot be used after fork; use the 'spawn' \
                       start method";
            Err(Error::Gpu(GpuTrouble::Lost, why.to_owned()))
        }
        _ => Ok(()),
    }
}

/// What the message of a panic begins with.
pub(super) const PANIC: &str = "wgpu panicked: ";

/// Keeps a panic of wgpu or of a driver from going further: it becomes an error.
pub(super) fn on_this_side<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = format!("{PANIC}{}", text.unwrap_or_default());
        Err(Error::Gpu(GpuTrouble::Internal, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let failed: Result<()> = on_this_side(|| panic!("of a driver"));
        let message = failed.expect_err("it panicked").to_string();
        assert_eq!(message, "gpu: wgpu panicked: of a driver");
    }
}
