//! What a program does with batches of one shape: its calls forward and back, and the buffers between them.

use super::Gpu;
use super::attended::Attended;
use super::calls::{Calls, Recorded};
use super::context::Context;
use super::copies::{fill, scaled};
use super::product::{Matrix, sum_rows};
use super::tokens::Tokens;
use crate::error::{Error, Result};
use crate::params::ParamId;
use crate::program::{Op, Program, Slot, SlotId};
use crate::shape::Shape;

/// What the calls of a run depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// B and T of the batch.
    pub shape: Shape,
    /// Whether the input is tokens.
    pub tokens: bool,
    /// Whether a backward run may follow, and dropout is on.
    pub learns: bool,
    /// Whether there are targets.
    pub scores: bool,
    /// S, steps of the memory.
    pub memory: usize,
    /// Whether the state starts from the program's own.
    pub starts_itself: bool,
}

/// What all recordings of a plan share: the state outlives a run.
pub(super) struct Shared {
    /// The numbers of a run: the struct `Run` of the prelude.
    pub run: wgpu::Buffer,
    /// All h, scan by scan (B, H), then all c.
    pub state: wgpu::Buffer,
    pub d_state: wgpu::Buffer,
    /// Steps of each row that count, (B).
    pub lengths: wgpu::Buffer,
    /// The time of each place, (T, B).
    pub times: wgpu::Buffer,
    /// (T, B); −1 where not scored.
    pub targets: wgpu::Buffer,
    /// (T, B); 0 where not scored.
    pub log_probs: wgpu::Buffer,
    /// The loss, the gradients' norm and the penalties: see `outcome` in update.rs.
    pub outcome: wgpu::Buffer,
    /// Of every parameter, laid out as the parameters.
    pub gradient: wgpu::Buffer,
}

/// A slot is (T, B, width): its step `s` of row `b`, of those that count, is at place `s · B + b`. The
/// gradients of steps that do not count are zero; what a slot holds there is finite.
pub(super) struct Recording {
    pub signature: Signature,
    pub slots: Vec<wgpu::Buffer>,
    pub d_slots: Vec<wgpu::Buffer>,
    /// Of the slots that are the input, or the input reversed, where that is tokens.
    pub tokens: Vec<Option<Tokens>>,
    /// Where a layer attends to one.
    pub memory: Option<Attended>,
    pub forward: Recorded,
    pub backward: Recorded,
}

impl Recording {
    /// The memory of a program that attends to one.
    pub fn attended(&self) -> Result<&Attended> {
        self.memory.as_ref().ok_or(Error::Tape("no layer attends to a memory"))
    }
}

/// A recording in the making: an op adds its calls forward, and those of its way back.
pub(super) struct Recorder<'a> {
    pub net: &'a Gpu,
    pub shared: &'a Shared,
    pub signature: Signature,
    pub forward: Calls,
    pub memory: Option<Attended>,
    slots: Vec<wgpu::Buffer>,
    d_slots: Vec<wgpu::Buffer>,
    tokens: Vec<Option<Tokens>>,
    /// Slots whose gradients start at zero because several ops add to them, or none fills them.
    cleared: Vec<SlotId>,
    /// Op by op, in the order of the way forward.
    backward: Vec<Calls>,
}

impl<'a> Recorder<'a> {
    /// A recording that has nothing yet but what comes before all ops.
    pub fn new(net: &'a Gpu, shared: &'a Shared, signature: Signature) -> Result<Self> {
        let Program { slots, .. } = &net.program;
        let tokens = (0..slots.len()).map(|slot| tokens(net, signature, slot)).collect::<Result<Vec<_>>>()?;
        let buffers = |name: &str, wanted: &dyn Fn(SlotId) -> bool| -> Result<Vec<wgpu::Buffer>> {
            let buffer = |(i, &slot): (usize, &Slot)| {
                let wanted = wanted(i) && tokens[i].is_none();
                let len = if wanted { numbers(slot, signature.shape) } else { 0 };
                net.context.buffer(&format!("{name} {i}"), len)
            };
            slots.iter().enumerate().map(buffer).collect()
        };
        let values = buffers("slot", &|_| true)?;
        let in_place = |slot| signature.scores && slot == net.program.output;
        let mut gradients = buffers("gradient of slot", &|slot| signature.learns && !in_place(slot))?;
        if signature.scores {
            // The gradient of the logits takes their place.
            gradients[net.program.output] = values[net.program.output].clone();
        }
        let mut recorder = Self {
            net,
            shared,
            signature,
            forward: Calls::default(),
            memory: Attended::new(
                net.context,
                &net.program,
                signature.shape,
                signature.memory,
                signature.learns,
            )?,
            slots: values,
            d_slots: gradients,
            cleared: (0..slots.len())
                .filter(|&slot| tokens[slot].is_none())
                .filter(|&slot| !net.program.has_one_reader(slot) && slot != net.program.output)
                .collect(),
            backward: Vec::new(),
            tokens,
        };
        recorder.start();
        Ok(recorder)
    }

    /// What comes before all ops: penalties start at 0, and the state at zeros or at what has been learned.
    fn start(&mut self) {
        let Self { net, shared, signature, forward, .. } = self;
        let (context, program, batch) = (net.context, &net.program, signature.shape.batch);
        if program.ops.iter().any(|op| matches!(op, Op::Penalty { .. })) {
            fill(context, forward, &shared.outcome, 2, 1);
        }
        if signature.starts_itself {
            fill(context, forward, &shared.state, 0, program.state_width() * batch);
            for (id, place) in program.initials(batch) {
                let learned = program.parameters.range(id);
                let width = learned.len();
                // The same numbers for every row.
                let one = Matrix { rows: 0, ..Matrix::new(&net.values, learned.start, width) };
                let all = Matrix::new(&shared.state, place.start, width);
                scaled(context, forward, [batch, width], one, 1.0, all, false);
            }
        }
    }

    /// Ends it, when all ops have added their calls.
    pub fn finish(mut self) -> Result<Recording> {
        let context = self.net.context;
        let mut backward = Calls::default();
        if self.signature.learns {
            for &slot in &self.cleared {
                let len = numbers(self.net.program.slots[slot], self.signature.shape);
                fill(context, &mut backward, &self.d_slots[slot], 0, len);
            }
            fill(context, &mut backward, &self.shared.gradient, 0, self.net.program.parameters.len());
            self.backward.drain(..).rev().for_each(|calls| backward.append(calls));
        }
        if self.signature.learns && self.signature.starts_itself {
            let (program, batch) = (&self.net.program, self.signature.shape.batch);
            for (id, place) in program.initials(batch) {
                let learned = program.parameters.range(id);
                let d = Matrix::new(&self.shared.d_state, place.start, learned.len());
                let sum = (&self.shared.gradient, learned.start);
                sum_rows(context, &mut backward, [batch, learned.len()], d, sum)?;
            }
        }
        Ok(Recording {
            signature: self.signature,
            slots: self.slots,
            d_slots: self.d_slots,
            tokens: self.tokens,
            memory: self.memory,
            forward: self.forward.finish(context, &self.shared.run),
            backward: backward.finish(context, &self.shared.run),
        })
    }

    pub fn context(&self) -> &'static Context {
        self.net.context
    }

    /// B.
    pub fn batch(&self) -> usize {
        self.signature.shape.batch
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.signature.shape.steps
    }

    /// Numbers in a row of a slot.
    pub fn width(&self, slot: SlotId) -> usize {
        self.net.program.slots[slot].width()
    }

    /// Rows of a slot: T · B, or B of a pooled one.
    pub fn places(&self, slot: SlotId) -> usize {
        let Shape { batch, .. } = self.signature.shape;
        if self.net.program.slots[slot].is_pooled() { batch } else { self.signature.shape.rows() }
    }

    /// What a slot of numbers holds.
    pub fn slot(&self, slot: SlotId) -> wgpu::Buffer {
        self.slots[slot].clone()
    }

    /// Whether a slot holds tokens in this run: a layer of features may be given some, as if one-hot.
    pub fn has_tokens(&self, slot: SlotId) -> bool {
        self.tokens[slot].is_some()
    }

    /// What a slot of tokens holds.
    pub fn tokens(&self, slot: SlotId) -> Result<Tokens> {
        self.tokens[slot].clone().ok_or(Error::value("x", "integer tokens", "floating point features"))
    }

    /// Its gradient.
    pub fn d_slot(&self, slot: SlotId) -> wgpu::Buffer {
        self.d_slots[slot].clone()
    }

    /// Whether the gradient of a slot has numbers already that its readers add to; else the one reader
    /// writes all of them.
    pub fn adds_to(&self, slot: SlotId) -> bool {
        self.cleared.contains(&slot) || slot == self.net.program.output
    }

    /// The place of a parameter among all, and among their gradients.
    pub fn at(&self, id: ParamId) -> usize {
        self.net.program.parameters.range(id).start
    }

    /// A buffer of an op's own.
    pub fn buffer(&self, name: &str, len: usize) -> Result<wgpu::Buffer> {
        self.net.context.buffer(name, len)
    }

    /// Calls of an op's way back; they run after those of the ops behind it.
    pub fn back(&mut self, calls: Calls) {
        if self.signature.learns {
            self.backward.push(calls);
        }
    }
}

/// Room for the tokens of a slot, where it holds some.
fn tokens(net: &Gpu, signature: Signature, slot: SlotId) -> Result<Option<Tokens>> {
    let program = &net.program;
    if !signature.tokens || !program.is_of_input(slot) {
        return Ok(None);
    }
    let sizes = [signature.shape.rows(), program.slots[slot].width()];
    Tokens::new(net.context, sizes, signature.learns, is_reversed(program, slot)).map(Some)
}

/// Whether a slot is the input reversed.
fn is_reversed(program: &Program, slot: SlotId) -> bool {
    program
        .ops
        .iter()
        .any(|op| matches!(op, Op::Reverse { input, out } if *out == slot && !is_reversed(program, *input)))
}

/// Numbers in a slot.
pub(super) fn numbers(slot: Slot, shape: Shape) -> usize {
    match slot {
        Slot::Tokens { .. } => shape.rows(),
        Slot::Features(width) => shape.rows() * width,
        Slot::Pooled(width) => shape.batch * width,
    }
}
