//! Devices by name: the only place that knows which backends there are.

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::reference::Reference;
use crate::cells::Lanes;
use crate::error::{Error, Result};
use crate::program::Program;

pub use crate::backend::Precision;
pub(crate) use crate::backend::cpu::{Crew, Elementary, Task, enter};
pub use crate::backend::cpu::{Isa, num_threads, set_num_threads};

/// An element type every device can run: `f32` or `f64`.
#[allow(private_bounds)]
pub trait Element: Elementary + Lanes {
    /// Puts a program on a device, its weights all 0.
    ///
    /// Not generic, so that the kernels are compiled with this crate and not again with every
    /// program that uses it.
    #[doc(hidden)]
    fn backend(device: Device, program: Program) -> Box<dyn Backend<Self>>;
}

macro_rules! element {
    ($t:ty) => {
        impl Element for $t {
            fn backend(device: Device, program: Program) -> Box<dyn Backend<Self>> {
                match device {
                    Device::Cpu(isa, precision) => Box::new(Cpu::<$t>::new(program, isa, precision)),
                    Device::Reference => Box::new(Reference::<$t>::new(program)),
                }
            }
        }
    };
}
element!(f32);
element!(f64);

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The fast backend, on all threads of the team.
    Cpu(Isa, Precision),
    /// Plain loops: the specification, slow and obvious.
    Reference,
}

impl Device {
    /// The device by its name: "cpu", "reference", or "auto" for the best there is.
    ///
    /// # Errors
    /// For an unknown name, or if the environment variable `SEQRS_CPU` names no instruction set.
    pub fn open(name: &str) -> Result<Self> {
        match name {
            "cpu" | "auto" => Ok(Self::Cpu(Isa::detect()?, Precision::Full)),
            "reference" => Ok(Self::Reference),
            _ => Err(Error::value("device", "\"cpu\", \"reference\" or \"auto\"", format!("{name:?}"))),
        }
    }

    /// The same device with products of another precision.
    ///
    /// # Errors
    /// For the reference, which multiplies numbers as they are.
    pub fn with(self, precision: Precision) -> Result<Self> {
        match self {
            Self::Cpu(isa, _) => Ok(Self::Cpu(isa, precision)),
            Self::Reference if precision == Precision::Full => Ok(self),
            Self::Reference => {
                Err(Error::Unsupported("products of rounded numbers on the reference device".to_owned()))
            }
        }
    }

    /// The name that opens it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu(..) => "cpu",
            Self::Reference => "reference",
        }
    }

    /// Puts a program on the device, its weights all 0.
    #[must_use]
    pub fn backend<T: Element>(self, program: Program) -> Box<dyn Backend<T>> {
        T::backend(self, program)
    }
}

/// Instruction sets this processor has that kernels are compiled for, and the one in use.
///
/// # Errors
/// If the environment variable `SEQRS_CPU` names no instruction set.
pub fn cpu_features() -> Result<(Vec<&'static str>, &'static str)> {
    Ok((Isa::available().into_iter().map(Isa::name).collect(), Isa::detect()?.name()))
}
