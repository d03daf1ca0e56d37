//! From the ops of a program to kernels with their weights packed.

use super::activate::Activate;
use super::attention::AttentionPool;
use super::combine::{Add, Concat, Reverse};
use super::context::Reach;
use super::dropout::Dropout;
use super::embedding::Gather;
use super::fresh::Fresh;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::local::Local;
use super::math::Elementary;
use super::penalty::Penalty;
use super::pool::Pool;
use super::scan::{Scan, Tokens};
use super::simd::Isa;
use crate::backend::Precision;
use crate::program::{Op, Program, Recurrence, Slot, SlotId};

/// One op, ready to run.
pub(super) enum Kernel<T> {
    Local(Box<dyn Local<T>>),
    /// The last linear map of a program with a loss, which takes the loss along.
    Head(Box<Linear<T>>),
    Scan(Box<Scan<T>>),
}

impl<T: Elementary> Kernel<T> {
    /// Takes its weights over after they have changed.
    pub(super) fn pack(&mut self, weights: &mut Fresh<'_, T>) {
        match self {
            Self::Local(op) => op.pack(weights),
            Self::Head(linear) => linear.pack(weights),
            Self::Scan(scan) => scan.pack(weights),
        }
    }
}

/// The kernels of a program, and the floating point operations of one row's forward run.
pub(super) fn compile<T: Elementary>(
    program: &Program,
    isa: Isa,
    precision: Precision,
) -> (Vec<Kernel<T>>, f64) {
    let slot = |slot: SlotId| program.slots[slot];
    let width = |id: SlotId| slot(id).width();
    let (mut kernels, mut row_operations, mut tapes) = (Vec::new(), 0.0, 0);
    for op in &program.ops {
        kernels.push(match *op {
            Op::Gather { tokens, table, dropout, out } => {
                if folds(program, out) {
                    continue;
                }
                Kernel::Local(Box::new(Gather { tokens, table, dropout, out, width: width(out) }))
            }
            Op::Dropout { input, p, variational, site, out } => {
                let input = Reach::new(input);
                Kernel::Local(Box::new(Dropout { input, out, kind: slot(out), p, variational, site }))
            }
            Op::Activate { input, activation, out } => {
                let (input, kind) = (Reach::new(input), slot(out));
                Kernel::Local(Box::new(Activate { input, out, kind, activation }))
            }
            Op::Reverse { input, out } => {
                let of_input = program.is_of_input(input);
                Kernel::Local(Box::new(Reverse {
                    input: Reach::new(input),
                    out,
                    width: width(out),
                    of_input,
                }))
            }
            Op::Concat { inputs, out } => {
                let (kind, widths) = (slot(out), inputs.map(width));
                Kernel::Local(Box::new(Concat { inputs: inputs.map(Reach::new), out, widths, kind }))
            }
            Op::Add { inputs, scale, out } => {
                Kernel::Local(Box::new(Add { inputs: inputs.map(Reach::new), out, scale, kind: slot(out) }))
            }
            Op::LayerNorm { input, gain, bias, eps, out } => {
                Kernel::Local(Box::new(LayerNorm::new([input, out], [gain, bias], eps, slot(out), isa)))
            }
            Op::Pool { input, how, out } => {
                Kernel::Local(Box::new(Pool { input: Reach::new(input), out, width: width(out), how }))
            }
            Op::AttentionPool { input, weight, bias, context, out } => {
                let size = program.parameters.range(bias).len();
                row_operations += 2.0 * (size * width(out)) as f64;
                let (weights, sizes) = ([weight, bias, context], [width(out), size]);
                Kernel::Local(Box::new(AttentionPool::new([input, out], weights, sizes, isa, precision)))
            }
            Op::Penalty { input, activation, temporal } => {
                let width = width(input);
                Kernel::Local(Box::new(Penalty { input: Reach::new(input), width, activation, temporal }))
            }
            Op::Linear { input, weight, bias, out } => {
                row_operations += 2.0 * (width(input) * width(out)) as f64;
                let linear = Linear::new([input, out], weight, bias, width(input), slot(out), isa, precision);
                if program.has_loss() && out == program.output {
                    Kernel::Head(Box::new(linear))
                } else {
                    Kernel::Local(Box::new(linear))
                }
            }
            Op::Scan(ref recurrence) => {
                let tokens = tokens(program, recurrence);
                let always = matches!(slot(program.input), Slot::Tokens { .. }) && tokens.is_some();
                let inputs = width(recurrence.input);
                let terms = recurrence.width + if always { 0 } else { inputs };
                let gates = recurrence.cell.layout().gates;
                let attended = recurrence.attention.map_or(0, |a| a.memory + a.size);
                row_operations += 2.0 * (gates * recurrence.hidden * (terms + attended)) as f64;
                let scan = Scan::new(recurrence, tokens, always, inputs, tapes, isa, precision);
                tapes += 1;
                Kernel::Scan(Box::new(scan))
            }
            Op::CrossEntropy { .. } => continue,
        });
    }
    mark_reaches(program, &mut kernels);
    (kernels, row_operations)
}

/// Whether an embedding is read by a layer and nothing else: it is folded into its projection.
fn folds(program: &Program, out: SlotId) -> bool {
    let reads = |op: &Op| matches!(op, Op::Scan(scan) if scan.input == out);
    program.has_one_reader(out) && program.ops.iter().any(reads)
}

/// Where a layer finds tokens, if it may be fed by them.
fn tokens(program: &Program, recurrence: &Recurrence) -> Option<Tokens> {
    if program.takes_tokens() && program.is_of_input(recurrence.input) {
        return Some(Tokens { slot: recurrence.input, embedding: None });
    }
    program.ops.iter().find_map(|op| match *op {
        Op::Gather { tokens, table, dropout, out } if out == recurrence.input && folds(program, out) => {
            Some(Tokens { slot: tokens, embedding: Some((table, dropout)) })
        }
        _ => None,
    })
}

/// Backwards, the first op to reach a slot's gradient sets it and the others add. The output's is
/// there before all of them.
fn mark_reaches<T: Elementary>(program: &Program, kernels: &mut [Kernel<T>]) {
    let mut reached = vec![false; program.slots.len()];
    reached[program.output] = true;
    for kernel in kernels.iter_mut().rev() {
        let reaches = match kernel {
            Kernel::Local(op) => op.reaches(),
            Kernel::Head(linear) => linear.reaches(),
            Kernel::Scan(scan) => vec![&mut scan.input],
        };
        for reach in reaches {
            reach.adds = std::mem::replace(&mut reached[reach.slot], true);
        }
    }
}
