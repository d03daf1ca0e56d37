//! Devices by name: the only place that knows which backends there are.

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
#[cfg(feature = "wgpu")]
use crate::backend::gpu;
use crate::backend::reference::Reference;
use crate::cells::Lanes;
use crate::error::{Error, Result};
#[cfg(feature = "wgpu")]
use crate::program::Op;
use crate::program::Program;

pub use crate::backend::Precision;
pub(crate) use crate::backend::cpu::{Crew, Elementary, Task, enter};
pub use crate::backend::cpu::{Isa, num_threads, set_num_threads};
#[cfg(feature = "wgpu")]
pub use crate::backend::gpu::Adapter;

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
impl Gpu {
    /// The adapter whose name has `name` in it, or that of `SEQRS_GPU_ADAPTER`, or the best there is.
    fn open(name: Option<&str>) -> Result<Self> {
        gpu::Context::open(name).map(Self)
    }

    /// All adapters of this system, the best first.
    ///
    /// # Errors
    /// If the process was forked after adapters were listed.
    pub fn adapters() -> Result<Vec<Adapter>> {
        gpu::adapters()
    }

    /// The place in [`Gpu::adapters`] of the one that `Device::open("gpu")` opens, or `"gpu:<name>"`.
    ///
    /// # Errors
    /// [`Error::Gpu`] if there is none that may be used, [`Error::Unknown`] if none has the name.
    pub fn choose(name: Option<&str>) -> Result<usize> {
        gpu::choose(name)
    }

    /// The adapter that is worth having for a program, or why none is.
    fn worth(program: &Program, batch: usize) -> std::result::Result<String, String> {
        let recurrent = program.ops.iter().map(|op| match op {
            Op::Scan(scan) => scan.hidden as f64 * scan.width as f64,
            _ => 0.0,
        });
        let work = batch as f64 * recurrent.sum::<f64>();
        if work < WORTH_IT {
            return Err(format!(
                "a step of {batch} sequences is {work:.0e} multiplications by recurrent weights, few for a \
                 graphics processor (below {WORTH_IT:.0e})"
            ));
        }
        let why = |error: Error| error.to_string();
        let adapter = &Self::adapters().map_err(why)?[Self::choose(None).map_err(why)?];
        if adapter.is_software() {
            return Err(format!("{} is the processor itself", adapter.name));
        }
        Ok(format!("{} for {work:.0e} multiplications by recurrent weights in a step", adapter.name))
    }

    /// Closes whatever is open. Networks there compute no more; a device opened after this is a new one.
    pub fn reset() {
        gpu::reset();
    }

    /// For a process that ends: waits for the work under way and lets none follow.
    pub fn finish() {
        gpu::finish();
    }
}

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

/// What [`Device::open`] takes.
const NAMES: &str = if cfg!(feature = "wgpu") {
    "\"cpu\", \"gpu\", \"gpu:<part of a name>\", \"reference\" or \"auto\""
} else {
    "\"cpu\", \"reference\" or \"auto\""
};

/// Multiplications of one step of all recurrent layers below which threads of the processor are as fast.
#[cfg(feature = "wgpu")]
const WORTH_IT: f64 = 5e5;

impl Device {
    /// That of a context of the caller's own.
    #[cfg(all(test, feature = "wgpu"))]
    pub(crate) fn on(context: &'static gpu::Context) -> Self {
        Self::Gpu(Gpu(context))
    }

    /// The device by its name: "cpu", "reference", and with the feature `wgpu` "gpu" or "gpu:" and part of
    /// an adapter's name. "auto" is "cpu" here; [`Device::for_program`] knows more.
    ///
    /// # Errors
    /// For an unknown name, if the environment variable `SEQRS_CPU` names no instruction set, and
    /// [`Error::Gpu`] where there is no graphics processor that can be used.
    pub fn open(name: &str) -> Result<Self> {
        match name {
            "cpu" | "auto" => Ok(Self::Cpu(Isa::detect()?, Precision::Full)),
            "reference" => Ok(Self::Reference),
            #[cfg(feature = "wgpu")]
            "gpu" => Gpu::open(None).map(Self::Gpu),
            #[cfg(feature = "wgpu")]
            _ if name.strip_prefix("gpu:").is_some_and(|name| !name.is_empty()) => {
                Gpu::open(name.strip_prefix("gpu:")).map(Self::Gpu)
            }
            _ => Err(Error::value("device", NAMES, format!("{name:?}"))),
        }
    }

    /// What "auto" means for a program in float32 and batches of this many sequences, and why: a graphics
    /// processor where there is one that is none of software and a step of the recurrence is work enough,
    /// else the processor. Nothing is opened yet.
    ///
    /// # Examples
    /// ```
    /// use seqrs::prelude::*;
    /// let program = Recurrent::new(Cell::parse("lstm", "none")?, 8, 1).program(3)?;
    /// let (device, why) = Device::for_program(&program, 32);
    /// assert_eq!(device, "cpu");
    /// assert!(!why.is_empty());
    /// # Ok::<(), seqrs::Error>(())
    /// ```
    #[must_use]
    pub fn for_program(program: &Program, batch: usize) -> (&'static str, String) {
        #[cfg(feature = "wgpu")]
        return match Gpu::worth(program, batch) {
            Ok(name) => ("gpu", name),
            Err(why) => ("cpu", why),
        };
        #[cfg(not(feature = "wgpu"))]
        return (
            "cpu",
            format!("this build has no graphics processors, for {} ops in {batch} rows", program.ops.len()),
        );
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
