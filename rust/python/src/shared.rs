//! What the classes hold in common: a network or its companion, of either element type.
//!
//! Locks are taken only while detached from the interpreter, and nobody attaches while holding
//! one: so a Python thread that waits for a lock never keeps its owner waiting for the interpreter.

use numpy::Element as NumpyElement;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use seqrs::decode::Generator;
use seqrs::device::{Device, Element};
use seqrs::error::Result;
use seqrs::network::{self, Network as CoreNetwork};
use seqrs::optim::Optimizer;
use seqrs::program::{FinalState, Prepared, Program, Slot};
use seqrs::shape::Shape;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A value of either element type.
pub(crate) enum Either<A, B> {
    F32(A),
    F64(B),
}

pub(crate) type AnyNetwork = Either<CoreNetwork<f32>, CoreNetwork<f64>>;
pub(crate) type AnyOptimizer = Either<Optimizer<f32>, Optimizer<f64>>;
pub(crate) type AnyState = Either<FinalState<f32>, FinalState<f64>>;
pub(crate) type AnyGenerator = Either<Generator<f32>, Generator<f64>>;
pub(crate) type AnyPrepared = Either<Prepared<f32>, Prepared<f64>>;

/// Whether a name of an element type is that of double precision.
pub(crate) fn is_double(dtype: &str) -> PyResult<bool> {
    match dtype {
        "float32" => Ok(false),
        "float64" => Ok(true),
        _ => Err(PyValueError::new_err(format!("dtype: expected \"float32\" or \"float64\", got {dtype:?}"))),
    }
}

/// Runs `$body` on whichever it is.
macro_rules! either {
    ($value:expr, $name:ident => $body:expr) => {
        match $value {
            $crate::shared::Either::F32($name) => $body,
            $crate::shared::Either::F64($name) => $body,
        }
    };
}
pub(crate) use either;

/// An element type of both NumPy and the core, which picks its own of an [`Either`].
pub(crate) trait Number: Element + NumpyElement + Copy {
    fn wrap(network: CoreNetwork<Self>) -> AnyNetwork;
    fn network(of: &AnyNetwork) -> &CoreNetwork<Self>;
    fn network_mut(of: &mut AnyNetwork) -> &mut CoreNetwork<Self>;
    fn optimizer(of: &mut AnyOptimizer) -> Option<&mut Optimizer<Self>>;
    fn generator(of: Generator<Self>) -> AnyGenerator;
    fn state(of: FinalState<Self>) -> AnyState;
    fn state_of(of: &AnyState) -> Option<&FinalState<Self>>;
    fn wrap_prepared(of: Prepared<Self>) -> AnyPrepared;
    fn prepared(of: &AnyPrepared) -> Option<&Prepared<Self>>;
}

macro_rules! number {
    ($t:ty, $kind:ident) => {
        impl Number for $t {
            fn wrap(network: CoreNetwork<Self>) -> AnyNetwork {
                Either::$kind(network)
            }
            fn network(of: &AnyNetwork) -> &CoreNetwork<Self> {
                let Either::$kind(network) = of else { unreachable!("the dtype was looked at first") };
                network
            }
            fn network_mut(of: &mut AnyNetwork) -> &mut CoreNetwork<Self> {
                let Either::$kind(network) = of else { unreachable!("the dtype was looked at first") };
                network
            }
            fn optimizer(of: &mut AnyOptimizer) -> Option<&mut Optimizer<Self>> {
                if let Either::$kind(optimizer) = of { Some(optimizer) } else { None }
            }
            fn generator(of: Generator<Self>) -> AnyGenerator {
                Either::$kind(of)
            }
            fn state(of: FinalState<Self>) -> AnyState {
                Either::$kind(of)
            }
            fn state_of(of: &AnyState) -> Option<&FinalState<Self>> {
                if let Either::$kind(state) = of { Some(state) } else { None }
            }
            fn wrap_prepared(of: Prepared<Self>) -> AnyPrepared {
                Either::$kind(of)
            }
            fn prepared(of: &AnyPrepared) -> Option<&Prepared<Self>> {
                if let Either::$kind(prepared) = of { Some(prepared) } else { None }
            }
        }
    };
}
number!(f32, F32);
number!(f64, F64);

/// A network that several Python objects hold.
pub(crate) struct Shared {
    network: RwLock<AnyNetwork>,
    /// What never changes, to be read without the lock.
    pub(crate) program: Program,
    pub(crate) device: Device,
    pub(crate) double: bool,
}

impl Shared {
    pub(crate) fn new(program: Program, device: Device, double: bool, seed: u64) -> Result<Self> {
        let network = if double {
            Either::F64(CoreNetwork::new(program.clone(), device, seed)?)
        } else {
            Either::F32(CoreNetwork::new(program.clone(), device, seed)?)
        };
        Ok(Self { network: RwLock::new(network), program, device, double })
    }

    /// For a network that exists.
    pub(crate) fn of<T: Number>(network: CoreNetwork<T>) -> Self {
        let (program, device) = (network.program().clone(), network.device());
        let network = T::wrap(network);
        let double = matches!(network, Either::F64(_));
        Self { network: RwLock::new(network), program, device, double }
    }

    /// Calls `f` with the network; others may read it at the same time.
    pub(crate) fn read<R>(&self, f: impl FnOnce(&AnyNetwork) -> R) -> R {
        f(&self.network.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls `f` with the network, alone.
    pub(crate) fn write<R>(&self, f: impl FnOnce(&mut AnyNetwork) -> R) -> R {
        f(&mut self.network.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Numbers in each part of a state: all h, and all c where a layer has a memory.
    pub(crate) fn state_sizes(&self, batch: usize) -> Vec<usize> {
        let widths = [0, 1].map(|part| self.program.states.iter().map(|s| s.widths[part]).sum::<usize>());
        widths.into_iter().filter(|&width| width > 0).map(|width| width * batch).collect()
    }

    /// What comes out.
    pub(crate) fn output(&self) -> Slot {
        self.program.slots[self.program.output]
    }

    /// The shape of the output for a batch.
    pub(crate) fn output_shape(&self, Shape { batch, steps }: Shape) -> Vec<usize> {
        match self.output() {
            Slot::Pooled(width) => vec![batch, width],
            slot => vec![batch, steps, slot.width()],
        }
    }
}

/// What one training-mode forward pass keeps for its backward pass; good for one use.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Tape {
    pub(crate) tape: Mutex<network::Tape>,
    /// The network that made it.
    pub(crate) owner: Arc<Shared>,
    pub(crate) shape: Shape,
    /// S of the memory, 0 without one.
    pub(crate) memory_steps: usize,
    pub(crate) penalty: f64,
}

#[pymethods]
impl Tape {
    /// What the penalties on activations add to the loss.
    #[getter]
    fn penalty(&self) -> f64 {
        self.penalty
    }
}

/// A program (list of ops) with its weights on one device.
#[pyclass(frozen, module = "seqrs._native")]
pub(crate) struct Network {
    pub(crate) shared: Arc<Shared>,
    /// Why its device was chosen, where "auto" was asked for.
    pub(crate) why: String,
}
