//! Op by op: which file records it. In each the calls forward stand beside those of the way back.

use super::recording::Recorder;
use super::{activate, cross_entropy, linear, scan};
use crate::error::{Error, Result};
use crate::program::{Op, Program};

/// Adds the calls of one op.
pub(super) fn record(r: &mut Recorder<'_>, op: &Op) -> Result<()> {
    match *op {
        Op::Activate { input, activation, out } => activate::record(r, input, activation, out),
        Op::Scan(ref recurrence) => scan::record(r, recurrence),
        Op::Linear { input, weight, bias, out } => linear::record(r, input, weight, bias, out),
        Op::CrossEntropy { logits } => cross_entropy::record(r, logits),
        _ => missing(op),
    }
}

fn missing(op: &Op) -> Result<()> {
    Err(Error::Unsupported(format!("{op:?} on device=\"gpu\"; use device=\"cpu\"")))
}

/// Refuses what this device has no kernels for.
pub(super) fn check(program: &Program, op: &Op) -> Result<()> {
    match op {
        Op::Scan(recurrence) => scan::check(program, recurrence),
        Op::Activate { .. } | Op::Linear { .. } | Op::CrossEntropy { .. } => Ok(()),
        _ => missing(op),
    }
}
