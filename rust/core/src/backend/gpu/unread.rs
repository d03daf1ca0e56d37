//! What updates came to, as long as the host has not looked: the device works on meanwhile.
//!
//! Each update leaves loss and norm in a place of its own (`norm.wgsl`), and one look brings all of them. After
//! one that is not finite no other changes anything until the host has looked, so that it finds the weights as
//! that one left them.

use super::context::Context;
use crate::backend::Pending;
use crate::error::{Error, GpuTrouble, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Updates that the host lets pass before it looks by itself.
pub(super) const AHEAD: usize = 16;
/// Where the first one's loss is; before it, whether all has been finite so far: `told` in norm.wgsl.
const FIRST: usize = 2;

/// The updates of one network that the host has not looked at.
#[derive(Debug)]
pub(super) struct Unread {
    context: &'static Context,
    /// (2 + 2 · AHEAD).
    pub told: wgpu::Buffer,
    /// Locked only by whoever has the context's turn.
    updates: Mutex<Vec<Arc<Update>>>,
}

#[derive(Debug)]
struct Update {
    /// Loss, and norm of the gradients.
    outcome: OnceLock<[f64; 2]>,
    /// Counts it as made, until it turns out not to be.
    steps: Arc<AtomicU64>,
}

/// One of them.
#[derive(Debug)]
struct One {
    of: Arc<Unread>,
    update: Arc<Update>,
}

impl Unread {
    pub fn new(context: &'static Context) -> Result<Arc<Self>> {
        let told = context.buffer("outcomes", FIRST + 2 * AHEAD)?;
        Ok(Arc::new(Self { context, told, updates: Mutex::default() }))
    }

    /// The place in `told` of the next update's loss. Where none is free a look has failed: it is made now.
    pub fn place(&self) -> Result<usize> {
        if self.with(|updates| updates.len()) == AHEAD {
            self.look()?;
        }
        Ok(FIRST + 2 * self.with(|updates| updates.len()))
    }

    /// Notes that the next update has been submitted, which `steps` counts already.
    pub fn note(self: &Arc<Self>, steps: Arc<AtomicU64>) -> Result<Arc<dyn Pending>> {
        let update = Arc::new(Update { outcome: OnceLock::new(), steps });
        let unread = self.with(|updates| {
            updates.push(update.clone());
            updates.len()
        });
        if unread == AHEAD {
            self.look()?;
        }
        Ok(Arc::new(One { of: self.clone(), update }))
    }

    /// Waits for all of them, and reads what they came to. The caller has the context's turn.
    pub fn look(&self) -> Result<()> {
        let count = self.with(|updates| updates.len());
        if count == 0 {
            return Ok(());
        }
        // They stay unread where this fails.
        let told = self.context.read::<f32>(&self.told, FIRST, 2 * count)?;
        let updates = self.with(std::mem::take);
        let mut finite = true;
        for (update, outcome) in updates.iter().zip(told.chunks_exact(2)) {
            let [loss, mut norm] = [outcome[0], outcome[1]].map(f64::from);
            if !(finite && loss.is_finite()) {
                norm = f64::NAN;
            }
            finite = norm.is_finite();
            if !finite {
                update.steps.fetch_sub(1, Ordering::Relaxed);
            }
            // Nobody else has set it.
            let _ = update.outcome.set([loss, norm]);
        }
        if !finite {
            self.context.write(&self.told, 0, &[0u32]);
        }
        Ok(())
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<Arc<Update>>) -> R) -> R {
        f(&mut self.updates.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Pending for One {
    fn known(&self) -> Option<[f64; 2]> {
        self.update.outcome.get().copied()
    }

    fn wait(&self) -> Result<[f64; 2]> {
        self.of.context.guard(|| self.of.look())?;
        let lost = || Error::Gpu(GpuTrouble::Lost, "a look at the device before this one failed".to_owned());
        self.known().ok_or_else(lost)
    }
}
