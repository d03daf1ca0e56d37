//! Op by op: which file has it. In each a forward run stands beside its way back, which adds to the
//! gradients of what the op reads.

use super::work::Work;
use super::{Reference, activate, arrange, dropout, embedding, layer_norm, linear, losses, pool, scan};
use crate::cells::Lanes;
use crate::float::Float;
use crate::program::Op;

/// Fills the slot that `op` writes.
pub(super) fn forward<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, op: &Op) {
    match *op {
        Op::Gather { tokens, table, dropout, out } => {
            embedding::gather(net, work, tokens, table, dropout, out);
        }
        Op::Dropout { input, p, variational, site, out } => {
            dropout::dropout(net, work, input, p, variational, site, out);
        }
        Op::Activate { input, activation, out } => activate::forward(net, work, input, activation, out),
        Op::Reverse { input, out } => arrange::reverse(net, work, input, out),
        Op::Concat { inputs, out } => arrange::concat(net, work, inputs, out),
        Op::Add { inputs, scale, out } => arrange::sum(work, inputs, scale, out),
        Op::Scan(ref recurrence) => scan::forward(net, work, recurrence),
        Op::LayerNorm { input, gain, bias, eps, out } => {
            layer_norm::forward(net, work, input, [gain, bias], eps, out);
        }
        Op::Linear { input, weight, bias, out } => linear::linear(net, work, input, weight, bias, out),
        Op::Pool { input, how, out } => pool::pool(net, work, input, how, out),
        Op::AttentionPool { input, weight, bias, context, out } => {
            pool::attention(net, work, input, [weight, bias, context], out);
        }
        Op::Penalty { input, activation, temporal } => {
            losses::penalty(net, work, input, [activation, temporal]);
        }
        Op::CrossEntropy { logits } => losses::cross_entropy(net, work, logits),
    }
}

/// Adds the gradients of what `op` reads, from that of the slot it writes.
pub(super) fn backward<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, op: &Op) {
    match *op {
        Op::Gather { tokens, table, dropout, out } => {
            embedding::gather_backward(net, work, tokens, table, dropout, out);
        }
        Op::Dropout { input, p, variational, site, out } => {
            dropout::dropout_backward(net, work, input, p, variational, site, out);
        }
        Op::Activate { input, activation, out } => activate::backward(net, work, input, activation, out),
        Op::Reverse { input, out } => arrange::reverse_backward(net, work, input, out),
        Op::Concat { inputs, out } => arrange::concat_backward(net, work, inputs, out),
        Op::Add { inputs, scale, out } => arrange::sum_backward(work, inputs, scale, out),
        Op::Scan(ref recurrence) => scan::backward(net, work, recurrence),
        Op::LayerNorm { input, gain, bias, eps, out } => {
            layer_norm::backward(net, work, input, [gain, bias], eps, out);
        }
        Op::Linear { input, weight, bias, out } => {
            linear::linear_backward(net, work, input, weight, bias, out);
        }
        Op::Pool { input, how, out } => pool::pool_backward(net, work, input, how, out),
        Op::AttentionPool { input, weight, bias, context, out } => {
            pool::attention_backward(net, work, input, [weight, bias, context], out);
        }
        Op::Penalty { input, activation, temporal } => {
            losses::penalty_backward(net, work, input, [activation, temporal]);
        }
        Op::CrossEntropy { logits } => losses::cross_entropy_backward(net, work, logits),
    }
}
