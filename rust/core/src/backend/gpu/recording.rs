//! What a program does with batches of one shape: its calls forward and back, and the buffers between them.

use super::Gpu;
use super::attended::Attended;
use super::calls::{Calls, Recorded};
use super::context::Context;
use super::copies::{fill, scaled};
use super::product::{Matrix, sum_rows};
use super::segments::{Segment, segments};
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
    pub segments: Vec<Segment>,
    /// Slot by slot, segment by segment; a pooled slot has one buffer.
    pub slots: Vec<Vec<wgpu::Buffer>>,
    pub d_slots: Vec<Vec<wgpu::Buffer>>,
    /// Of the slots that are the input, or the input reversed, where that is tokens.
    pub tokens: Vec<Vec<Tokens>>,
    /// Where a layer attends to one.
    pub memory: Option<Attended>,
    pub forward: Recorded,
    pub backward: Recorded,
}

impl Recording {
    /// Brings numbers of all places to the segments they belong to.
    pub fn write(&self, context: &Context, buffers: &[wgpu::Buffer], width: usize, values: &[f32]) {
        let step = self.signature.shape.batch * width;
        for (segment, buffer) in self.segments.iter().zip(buffers) {
            context.write(buffer, 0, &values[segment.first * step..][..segment.steps * step]);
        }
    }

    /// Copies the numbers of all places out.
    pub fn read(&self, context: &Context, buffers: &[wgpu::Buffer], width: usize) -> Result<Vec<f32>> {
        let step = self.signature.shape.batch * width;
        let mut all = Vec::with_capacity(self.signature.shape.steps * step);
        for (segment, buffer) in self.segments.iter().zip(buffers) {
            all.extend(context.read::<f32>(buffer, 0, segment.steps * step)?);
        }
        Ok(all)
    }

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
    pub segments: Vec<Segment>,
    /// The one whose calls are recorded.
    pub segment: Segment,
    pub forward: Calls,
    pub memory: Option<Attended>,
    slots: Vec<Vec<wgpu::Buffer>>,
    d_slots: Vec<Vec<wgpu::Buffer>>,
    tokens: Vec<Vec<Tokens>>,
    /// Slots whose gradients start at zero because several ops add to them, or none fills them.
    cleared: Vec<SlotId>,
    /// Op by op, in the order of the way forward.
    backward: Vec<Calls>,
}

impl<'a> Recorder<'a> {
    /// A recording that has nothing yet but what comes before all ops; `each` is how many steps are a segment.
    pub fn new(net: &'a Gpu, shared: &'a Shared, signature: Signature, each: usize) -> Result<Self> {
        let (Program { slots, .. }, batch) = (&net.program, signature.shape.batch);
        let segments = segments(signature.shape.steps, each);
        let tokens = (0..slots.len())
            .map(|slot| tokens(net, signature, &segments, slot))
            .collect::<Result<Vec<_>>>()?;
        let buffers = |name: &str, wanted: &dyn Fn(SlotId) -> bool| -> Result<Vec<Vec<wgpu::Buffer>>> {
            let of_slot = |(i, &slot): (usize, &Slot)| {
                let wanted = wanted(i) && tokens[i].is_empty();
                let buffer = |segment: &Segment| {
                    let len = if wanted { numbers(slot, batch, segment.steps) } else { 0 };
                    net.context.buffer(&format!("{name} {i}"), len)
                };
                segments[..if slot.is_pooled() { 1 } else { segments.len() }].iter().map(buffer).collect()
            };
            slots.iter().enumerate().map(of_slot).collect()
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
            segment: segments[0],
            forward: Calls::default(),
            memory: Attended::new(
                net.context,
                &net.program,
                &segments,
                [batch, signature.memory],
                signature.learns,
            )?,
            segments,
            slots: values,
            d_slots: gradients,
            cleared: (0..slots.len())
                .filter(|&slot| tokens[slot].is_empty())
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
                for (segment, buffer) in self.segments.iter().zip(&self.d_slots[slot]) {
                    let len = numbers(self.net.program.slots[slot], self.batch(), segment.steps);
                    fill(context, &mut backward, buffer, 0, len);
                }
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
            segments: self.segments,
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

    /// Steps of the segment.
    pub fn steps(&self) -> usize {
        self.segment.steps
    }

    /// Its first place among all.
    pub fn first(&self) -> usize {
        self.segment.first * self.batch()
    }

    /// Records something in every segment.
    pub fn each_segment(&mut self, mut record: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        for segment in self.segments.clone() {
            self.segment = segment;
            record(self)?;
        }
        Ok(())
    }

    /// Numbers in a row of a slot.
    pub fn width(&self, slot: SlotId) -> usize {
        self.net.program.slots[slot].width()
    }

    /// Rows of a slot in the segment: one of each step, or B of a pooled one.
    pub fn places(&self, slot: SlotId) -> usize {
        let steps = if self.net.program.slots[slot].is_pooled() { 1 } else { self.steps() };
        steps * self.batch()
    }

    /// What a slot of numbers holds in the segment.
    pub fn slot(&self, slot: SlotId) -> wgpu::Buffer {
        self.slot_in(self.segment.number, slot)
    }

    /// What it holds in another.
    pub fn slot_in(&self, segment: usize, slot: SlotId) -> wgpu::Buffer {
        of_segment(&self.slots[slot], segment)
    }

    /// Whether a slot holds tokens in this run: a layer of features may be given some, as if one-hot.
    pub fn has_tokens(&self, slot: SlotId) -> bool {
        !self.tokens[slot].is_empty()
    }

    /// What a slot of tokens holds in the segment.
    pub fn tokens(&self, slot: SlotId) -> Result<Tokens> {
        let tokens = self.tokens[slot].get(self.segment.number).cloned();
        tokens.ok_or(Error::value("x", "integer tokens", "floating point features"))
    }

    /// The gradient of a slot in the segment.
    pub fn d_slot(&self, slot: SlotId) -> wgpu::Buffer {
        self.d_slot_in(self.segment.number, slot)
    }

    /// That in another.
    pub fn d_slot_in(&self, segment: usize, slot: SlotId) -> wgpu::Buffer {
        of_segment(&self.d_slots[slot], segment)
    }

    /// Whether the gradient of a slot has numbers already that its readers add to; else the one reader
    /// writes all of them.
    pub fn adds_to(&self, slot: SlotId) -> bool {
        self.cleared.contains(&slot) || slot == self.net.program.output
    }

    /// Records what goes row by row in every segment; once where a row has no steps.
    pub fn by_rows(&mut self, out: SlotId, mut record: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if self.net.program.slots[out].is_pooled() { record(self) } else { self.each_segment(record) }
    }

    /// The place of a parameter among all, and among their gradients.
    pub fn at(&self, id: ParamId) -> usize {
        self.net.program.parameters.range(id).start
    }

    /// A buffer of an op's own.
    pub fn buffer(&self, name: &str, len: usize) -> Result<wgpu::Buffer> {
        self.net.context.buffer(name, len)
    }

    /// Calls of an op's way back; they run after those of the ops behind it, and of its later segments.
    pub fn back(&mut self, calls: Calls) {
        if self.signature.learns {
            self.backward.push(calls);
        }
    }
}

/// The buffer of a segment; of a pooled slot the only one.
fn of_segment(buffers: &[wgpu::Buffer], segment: usize) -> wgpu::Buffer {
    buffers[segment.min(buffers.len() - 1)].clone()
}

/// Room for the tokens of a slot, segment by segment, where it holds some.
fn tokens(net: &Gpu, signature: Signature, segments: &[Segment], slot: SlotId) -> Result<Vec<Tokens>> {
    let program = &net.program;
    if !signature.tokens || !program.is_of_input(slot) {
        return Ok(Vec::new());
    }
    let of = |segment: &Segment| {
        let sizes = [segment.steps * signature.shape.batch, program.slots[slot].width()];
        Tokens::new(net.context, sizes, signature.learns, is_reversed(program, slot))
    };
    segments.iter().map(of).collect()
}

/// Whether a slot is the input reversed.
fn is_reversed(program: &Program, slot: SlotId) -> bool {
    program
        .ops
        .iter()
        .any(|op| matches!(op, Op::Reverse { input, out } if *out == slot && !is_reversed(program, *input)))
}

/// Numbers in some steps of a slot.
fn numbers(slot: Slot, batch: usize, steps: usize) -> usize {
    match slot {
        Slot::Tokens { .. } => batch * steps,
        Slot::Features(width) => batch * steps * width,
        Slot::Pooled(width) => batch * width,
    }
}
