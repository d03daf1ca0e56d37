//! What a step of learning came to: known at once, or on the device until somebody asks.

use crate::error::Result;
use std::fmt::Debug;
use std::sync::Arc;

/// What a training step came to. A graphics processor works on while nobody asks: see
/// [`crate::network::Network::learn`].
#[derive(Clone, Debug)]
pub struct Outcome(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Known([f64; 2]),
    #[cfg_attr(not(feature = "wgpu"), expect(dead_code, reason = "processors are done when they return"))]
    Pending(Arc<dyn Pending>),
}

/// Loss and norm of a step that a device may still be at.
pub trait Pending: Debug + Send + Sync {
    /// Both, if they have come here already.
    fn known(&self) -> Option<[f64; 2]>;
    /// Both, when the device has come so far.
    fn wait(&self) -> Result<[f64; 2]>;
}

impl Outcome {
    pub(crate) fn of(loss: f64, norm: f64) -> Self {
        Self(Inner::Known([loss, norm]))
    }

    #[cfg(feature = "wgpu")]
    pub(crate) fn pending(step: Arc<dyn Pending>) -> Self {
        Self(Inner::Pending(step))
    }

    /// Whether it is here, so that nothing below waits.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match &self.0 {
            Inner::Known(_) => true,
            Inner::Pending(step) => step.known().is_some(),
        }
    }

    /// Mean of −log p over the scored tokens, nats, before the update; without penalties.
    ///
    /// # Errors
    /// If the device has been lost.
    pub fn loss(&self) -> Result<f64> {
        self.read().map(|[loss, _]| loss)
    }

    /// Global norm of the gradients before clipping. Where it is not finite, the weights stayed as they were.
    ///
    /// # Errors
    /// If the device has been lost.
    pub fn gradient_norm(&self) -> Result<f64> {
        self.read().map(|[_, norm]| norm)
    }

    fn read(&self) -> Result<[f64; 2]> {
        match &self.0 {
            Inner::Known(both) => Ok(*both),
            Inner::Pending(step) => step.known().map_or_else(|| step.wait(), Ok),
        }
    }
}
