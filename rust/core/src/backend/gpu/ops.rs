//! Op by op: which file records it. In each the calls forward stand beside those of the way back.

use super::Gpu;
use super::recording::{Recorder, Recording, Shared, Signature};
use super::{activate, arrange, cross_entropy, dropout, embedding, layer_norm, linear, penalty, pool, scan};
use crate::error::Result;
use crate::program::{Op, Program};

/// What a program does with batches of one shape, `each` steps in a segment.
pub(super) fn recording(net: &Gpu, shared: &Shared, signature: Signature, each: usize) -> Result<Recording> {
    let mut recorder = Recorder::new(net, shared, signature, each)?;
    record_all(&mut recorder, &net.program)?;
    recorder.finish()
}

/// Adds the calls of all ops.
fn record_all(r: &mut Recorder<'_>, program: &Program) -> Result<()> {
    let mut recorded = vec![false; program.ops.len()];
    for (i, op) in program.ops.iter().enumerate() {
        if recorded[i] {
            continue;
        }
        match (op, other_direction(program, i)) {
            (Op::Scan(first), Some(other)) => {
                for between in i + 1..other {
                    record(r, &program.ops[between])?;
                    recorded[between] = true;
                }
                if let Op::Scan(second) = &program.ops[other] {
                    scan::record(r, &[first, second])?;
                }
                recorded[other] = true;
            }
            _ => record(r, op)?,
        }
    }
    Ok(())
}

/// Of a recurrent layer, the op of its other direction: the next one of its form, if between them are only
/// ops that reverse, and none has what the first makes.
fn other_direction(program: &Program, first: usize) -> Option<usize> {
    let Op::Scan(a) = &program.ops[first] else { return None };
    for (i, op) in program.ops.iter().enumerate().skip(first + 1) {
        match op {
            _ if op.inputs().contains(&a.out) => return None,
            Op::Reverse { .. } | Op::Gather { .. } => {}
            Op::Scan(b) if scan::are_one(program, a, b) => return Some(i),
            _ => return None,
        }
    }
    None
}

/// Adds the calls of one op.
fn record(r: &mut Recorder<'_>, op: &Op) -> Result<()> {
    match *op {
        Op::Gather { tokens, table, dropout, out } => {
            r.by_rows(out, |r| embedding::record(r, tokens, table, dropout, out))
        }
        Op::Dropout { input, p, variational, site, out } => {
            r.by_rows(out, |r| dropout::record(r, input, p, variational, site, out))
        }
        Op::Activate { input, activation, out } => {
            r.by_rows(out, |r| activate::record(r, input, activation, out))
        }
        Op::Reverse { input, out } => arrange::reverse(r, input, out),
        Op::Concat { inputs, out } => r.by_rows(out, |r| arrange::concat(r, inputs, out)),
        Op::Add { inputs, scale, out } => r.by_rows(out, |r| arrange::sum(r, inputs, scale, out)),
        Op::Scan(ref recurrence) => scan::record(r, &[recurrence]),
        Op::LayerNorm { input, gain, bias, eps, out } => {
            r.by_rows(out, |r| layer_norm::record(r, input, [gain, bias], eps, out))
        }
        Op::Linear { input, weight, bias, out } => {
            r.by_rows(out, |r| linear::record(r, input, weight, bias, out))
        }
        Op::Pool { input, how, out } => pool::record(r, input, how, out),
        Op::AttentionPool { input, weight, bias, context, out } => {
            pool::attention(r, input, [weight, bias, context], out)
        }
        Op::Penalty { input, activation, temporal } => penalty::record(r, input, [activation, temporal]),
        Op::CrossEntropy { logits } => cross_entropy::record(r, logits),
    }
}
