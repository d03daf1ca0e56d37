//! Moving averages that a device keeps between its updates.

use super::Optimizer;
#[cfg(feature = "wgpu")]
use super::{Rule, check_rate};
use crate::error::Result;
use crate::float::Float;
use std::any::Any;
use std::fmt::Debug;
#[cfg(feature = "wgpu")]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Moving averages in the memory of a device.
pub(crate) trait Held<T>: Any + Debug + Send + Sync {
    /// Copies them out, in the order of [`super::Rule::moments`].
    fn fetch(&self) -> Result<Vec<Vec<T>>>;
}

/// What a device needs to know to make one update.
#[cfg(feature = "wgpu")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub rule: Rule,
    /// Gradients are cut to ± this, infinity for none.
    pub clip_value: f64,
    /// Then scaled down to this norm, infinity for none.
    pub clip_norm: f64,
    /// This much of a weight is added to its gradient.
    pub added: f64,
    /// Factor on a weight.
    pub kept: f64,
    /// The number of this update, from 1 on.
    pub step: u64,
}

/// What a device that makes updates asks for.
#[cfg(feature = "wgpu")]
impl<T: Float> Optimizer<T> {
    /// The numbers of the next update, at rate `lr`.
    pub(crate) fn numbers(&self, lr: f64) -> Result<Numbers> {
        check_rate::<T>(lr)?;
        let (added, kept) = match self.rule {
            Rule::AdamW { .. } => (0.0, 1.0 - lr * self.weight_decay),
            _ => (self.weight_decay, 1.0),
        };
        Ok(Numbers {
            rule: self.rule,
            clip_value: self.clip_value.unwrap_or(f64::INFINITY),
            clip_norm: self.clip_norm.unwrap_or(f64::INFINITY),
            added,
            kept,
            step: self.steps() + 1,
        })
    }

    /// Weights it is for.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The moving averages where they are on a device of the caller's kind.
    pub(crate) fn held<H: Held<T>>(&self) -> Option<&H> {
        let held: &dyn Any = self.held.as_deref()?;
        held.downcast_ref()
    }

    /// Moves the moving averages to a device.
    pub(crate) fn hold(&mut self, hold: impl FnOnce(&[Vec<T>]) -> Result<Box<dyn Held<T>>>) -> Result<()> {
        let moments: Vec<_> = self.state()?.into_iter().map(|(_, values)| values).collect();
        self.held = Some(hold(&moments)?);
        self.moments.clear();
        Ok(())
    }

    /// Counts an update that a device may still be at. Whoever finds that it changed nothing takes it from the
    /// count that is returned.
    pub(crate) fn count(&mut self) -> Arc<AtomicU64> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.steps.clone()
    }
}

impl<T: Float> Optimizer<T> {
    /// Brings moving averages back that are on a device.
    pub(super) fn bring_home(&mut self) -> Result<()> {
        if self.held.is_some() {
            self.moments = self.state()?;
            self.held = None;
        }
        Ok(())
    }
}
