//! Recurrent sequence models: RNN, GRU and LSTM at the speed of the hardware.
//!
//! Letters used throughout: **B** sequences in a batch, **T** steps, **I** inputs of a layer,
//! **H** its hidden units, **V** tokens in a vocabulary, **L** layers in a stack. Arrays are row
//! major and batch first: features are (B, T, I), states (B, H) for each layer and direction.
//!
//! A model is a [`program::Program`], a list of ops over whole sequences; a [`device::Device`]
//! makes it a [`network::Network`] that runs, learns and draws.
//!
//! # Examples
//! ```
//! use seqrs::prelude::*;
//!
//! let stack = Recurrent::new(Cell::parse("gru", "after")?, 4, 1);
//! let network: Network<f32> = Network::new(stack.program(3)?, Device::open("cpu")?, 0)?;
//! let x = vec![0.5; 2 * 5 * 3];
//! let run = network.run(&Batch {
//!     shape: Shape { batch: 2, steps: 5 },
//!     input: Input::Features(&x),
//!     targets: None,
//!     lengths: None,
//!     mask: None,
//!     memory: None,
//!     start: StartState::Zero,
//!     training: None,
//! })?;
//! assert_eq!(run.output.len(), 2 * 5 * 4);
//! # Ok::<(), seqrs::Error>(())
//! ```
//!
//! # Building
//! Without link-time optimisation (`lto = "off"` in the profile): with `lto = "fat"` the kernels'
//! sums are kept in memory instead of registers, and a training step takes 2.7 times as long.
#![deny(unsafe_code)]

pub mod error;
pub mod float;
pub mod io;
pub mod shape;

pub mod params;
pub mod rng;

pub mod cells;
pub mod program;

pub mod optim;
pub mod schedule;

pub mod backend;
pub mod device;
pub mod network;
mod plans;

pub mod layers;
pub mod losses;
pub mod models;

pub mod decode;
pub mod sampling;
pub mod search;

// The models of tests/, for unit tests of what is private.
#[cfg(all(test, feature = "wgpu"))]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(all(test, feature = "wgpu"))]
extern crate self as seqrs;

pub use error::{Error, Result};

/// What most programs use.
pub mod prelude {
    pub use crate::cells::Cell;
    pub use crate::decode::{Generator, Start};
    pub use crate::device::{Device, Precision};
    pub use crate::layers::Recurrent;
    pub use crate::models::LanguageModel;
    pub use crate::network::Network;
    pub use crate::program::{Batch, DropoutKey, Input, StartState};
    pub use crate::sampling::Sampler;
    pub use crate::shape::Shape;
}
