//! Devices by name: the only place that knows which backends there are.

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
#[cfg(feature = "wgpu")]
use crate::backend::gpu;
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
    fn backend(device: Device, program: Program) -> Result<Box<dyn Backend<Self>>>;
}

macro_rules! element {
    ($t:ty) => {
        impl Element for $t {
            fn backend(device: Device, program: Program) -> Result<Box<dyn Backend<Self>>> {
                Ok(match device {
                    Device::Cpu(isa, precision) => Box::new(Cpu::<$t>::new(program, isa, precision)),
                    Device::Reference => Box::new(Reference::<$t>::new(program)),
                    #[cfg(feature = "wgpu")]
                    Device::Gpu(Gpu(context)) => <$t as gpu::Number>::backend(context, program)?,
                })
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
    /// A graphics processor.
    #[cfg(feature = "wgpu")]
    Gpu(Gpu),
}

/// An open graphics processor.
#[cfg(feature = "wgpu")]
#[derive(Clone, Copy)]
pub struct Gpu(&'static gpu::Context);

#[cfg(feature = "wgpu")]
impl PartialEq for Gpu {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

#[cfg(feature = "wgpu")]
impl Eq for Gpu {}

#[cfg(feature = "wgpu")]
impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gpu")
    }
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
            #[cfg(feature = "wgpu")]
            "gpu" => gpu::Context::open().map(|context| Self::Gpu(Gpu(context))),
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
            _ if precision == Precision::Full => Ok(self),
            Self::Reference => {
                Err(Error::Unsupported("products of rounded numbers on the reference device".to_owned()))
            }
            #[cfg(feature = "wgpu")]
            Self::Gpu(_) => {
                Err(Error::Unsupported("products of rounded numbers on device=\"gpu\"".to_owned()))
            }
        }
    }

    /// The name that opens it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu(..) => "cpu",
            Self::Reference => "reference",
            #[cfg(feature = "wgpu")]
            Self::Gpu(_) => "gpu",
        }
    }

    /// Puts a program on the device, its weights all 0.
    ///
    /// # Errors
    /// If the device lacks what the program needs.
    pub fn backend<T: Element>(self, program: Program) -> Result<Box<dyn Backend<T>>> {
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
