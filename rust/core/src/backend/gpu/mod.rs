//! The backend of graphics processors: Vulkan, Metal and DX12 through wgpu, in float32.

mod buffers;
mod calls;
mod context;
mod kernel;

pub(crate) use context::Context;

use super::Backend;
use crate::error::{Error, Result};
use crate::program::Program;

/// A number that a backend of this device can be asked for.
pub(crate) trait Number: Sized {
    /// The program on the device, its weights all 0.
    fn backend(context: &'static Context, program: Program) -> Result<Box<dyn Backend<Self>>>;
}

impl Number for f32 {
    fn backend(_context: &'static Context, _program: Program) -> Result<Box<dyn Backend<Self>>> {
        Err(Error::Unsupported("programs on device=\"gpu\"".to_owned()))
    }
}

impl Number for f64 {
    fn backend(_: &'static Context, _: Program) -> Result<Box<dyn Backend<Self>>> {
        let why = "float64 on device=\"gpu\": its shading language has none; use float32, or device=\"cpu\"";
        Err(Error::Unsupported(why.to_owned()))
    }
}
