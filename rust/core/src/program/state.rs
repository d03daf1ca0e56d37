//! The recurrent state between runs: where one starts, and what is left of it after a training step.

use crate::error::Result;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// The state a run starts from.
#[derive(Clone, Copy, Debug)]
pub enum StartState<'a, T> {
    /// The program's own: zeros, or what it has learned.
    Zero,
    /// The state in which the plan's last run ended.
    Carry,
    /// All h, scan by scan (B, H), then all c.
    From(&'a [T]),
    /// The same in the memory of a device: [`FinalState::start`].
    Held(&'a dyn HeldState<T>),
}

/// A state in the memory of a device.
pub trait HeldState<T>: Any + Debug + Send + Sync {
    /// Numbers in it.
    fn size(&self) -> usize;
    /// Copies it out, when the device has come so far.
    fn fetch(&self) -> Result<Vec<T>>;
}

/// The state after each row's last step, all h, scan by scan (B, H), then all c: a value, wherever it is.
#[derive(Clone, Debug)]
pub enum FinalState<T> {
    /// Here.
    Here(Vec<T>),
    /// On the device, until somebody asks.
    Held(Arc<dyn HeldState<T>>),
}

impl<T: 'static> FinalState<T> {
    /// A start from it, for a batch of as many rows. One that is on a device stays there for its networks.
    #[must_use]
    pub fn start(&self) -> StartState<'_, T> {
        match self {
            Self::Here(state) => StartState::From(state),
            Self::Held(state) => StartState::Held(&**state),
        }
    }

    /// Its numbers.
    ///
    /// # Errors
    /// If they are on a device that has been lost.
    pub fn into_vec(self) -> Result<Vec<T>> {
        match self {
            Self::Here(state) => Ok(state),
            Self::Held(state) => state.fetch(),
        }
    }
}
