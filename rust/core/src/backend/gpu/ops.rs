//! Op by op: which file records it. In each the calls forward stand beside those of the way back.

use super::recording::Recorder;
use super::{activate, arrange, cross_entropy, dropout, embedding, layer_norm, linear, penalty, pool, scan};
use crate::error::Result;
use crate::program::{Op, Program};

/// Adds the calls of one op.
pub(super) fn record(r: &mut Recorder<'_>, op: &Op) -> Result<()> {
    match *op {
        Op::Gather { tokens, table, dropout, out } => embedding::record(r, tokens, table, dropout, out),
        Op::Dropout { input, p, variational, site, out } => {
            dropout::record(r, input, p, variational, site, out)
        }
        Op::Activate { input, activation, out } => activate::record(r, input, activation, out),
        Op::Reverse { input, out } => arrange::reverse(r, input, out),
        Op::Concat { inputs, out } => arrange::concat(r, inputs, out),
        Op::Add { inputs, scale, out } => arrange::sum(r, inputs, scale, out),
        Op::Scan(ref recurrence) => scan::record(r, recurrence),
        Op::LayerNorm { input, gain, bias, eps, out } => layer_norm::record(r, input, [gain, bias], eps, out),
        Op::Linear { input, weight, bias, out } => linear::record(r, input, weight, bias, out),
        Op::Pool { input, how, out } => pool::record(r, input, how, out),
        Op::AttentionPool { input, weight, bias, context, out } => {
            pool::attention(r, input, [weight, bias, context], out)
        }
        Op::Penalty { input, activation, temporal } => penalty::record(r, input, [activation, temporal]),
        Op::CrossEntropy { logits } => cross_entropy::record(r, logits),
    }
}

/// Refuses what this device has no kernels for.
pub(super) fn check(program: &Program, op: &Op) -> Result<()> {
    match op {
        Op::Scan(recurrence) => scan::check(program, recurrence),
        _ => Ok(()),
    }
}
