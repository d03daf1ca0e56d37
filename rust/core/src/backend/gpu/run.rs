//! One run: a batch brought to the device, and results brought back.
//!
//! On the device a step of all rows lies side by side: (T, B, width), the steps of each row that count
//! first ([`super::recording::Recording`]).

use super::Gpu;
use super::attended::Attended;
use super::fit::recorded;
use super::kept::Kept;
use super::recording::{Recording, Shared, Signature};
use crate::backend::{FOREIGN, Quantity};
use crate::error::{Error, Result};
use crate::program::{Batch, Counted, Input, Slot, StartState};
use crate::shape::Shape;
use std::any::Any;

/// Recordings that a plan keeps: of the shapes, and with and without learning, that take turns.
const KEPT: usize = 3;
/// Words of the struct `Run` in the prelude.
const RUN_WORDS: usize = 8;

/// The scratch of a plan.
pub(super) struct Work {
    pub shared: Shared,
    recordings: Vec<Recording>,
    pub counted: Counted,
    /// The weights' version of a run that no backward run has followed yet.
    pub has_run: Option<u64>,
}

impl Work {
    pub fn new(net: &Gpu, shape: Shape) -> Result<Self> {
        let (context, rows) = (net.context, shape.rows());
        let states = net.program.state_width() * shape.batch;
        let shared = Shared {
            run: context.uniform("run", RUN_WORDS)?,
            state: context.buffer("state", states)?,
            d_state: context.buffer("gradient of the state", states)?,
            lengths: context.buffer("lengths", shape.batch)?,
            times: context.buffer("times", rows)?,
            targets: context.buffer("targets", rows)?,
            log_probs: context.buffer("log probs", rows)?,
            outcome: context.buffer("outcome", 4)?,
            gradient: context.buffer("gradient", net.program.parameters.len())?,
        };
        Ok(Self { shared, recordings: Vec::new(), counted: Counted::default(), has_run: None })
    }

    /// The recording of the last run.
    pub fn recording(&self) -> Result<&Recording> {
        self.recordings.first().ok_or(Error::Tape("nothing has run"))
    }

    /// Brings the recording of a signature to the front, made now if need be.
    fn find(&mut self, net: &Gpu, signature: Signature) -> Result<&Recording> {
        match self.recordings.iter().position(|known| known.signature == signature) {
            Some(0) => {}
            Some(i) => self.recordings[..=i].rotate_right(1),
            None => {
                self.recordings.truncate(KEPT - 1);
                let recording = recorded(net, &self.shared, signature)?;
                self.recordings.insert(0, recording);
            }
        }
        Ok(&self.recordings[0])
    }

    /// Brings a batch to the device and runs it.
    pub fn forward(&mut self, net: &Gpu, batch: &Batch<'_, f32>) -> Result<()> {
        self.prepare(net, batch)?;
        self.recordings[0].forward.submit(net.context);
        self.has_run = Some(net.version);
        net.context.check()
    }

    /// Brings a batch to the device.
    pub fn prepare(&mut self, net: &Gpu, batch: &Batch<'_, f32>) -> Result<()> {
        let (context, shape) = (net.context, batch.shape);
        batch.check(&net.program, &mut self.counted)?;
        let signature = Signature {
            shape,
            tokens: matches!(batch.input, Input::Tokens(_)),
            learns: batch.training.is_some(),
            scores: batch.targets.is_some(),
            memory: batch.memory.map_or(0, |memory| memory.steps),
            starts_itself: matches!(batch.start, StartState::Zero),
        };
        self.has_run = None;
        self.find(net, signature)?;
        let (shared, recording) = (&self.shared, &self.recordings[0]);
        match batch.input {
            Input::Tokens(tokens) => {
                let placed = self.to_places(shape, 1, tokens, -1);
                let reversed = recording.tokens.iter().flatten().any(|slot| slot.reversed);
                let reversed = if reversed { self.reversed(shape, &placed) } else { Vec::new() };
                for slot in &recording.tokens {
                    for (slot, segment) in slot.iter().zip(&recording.segments) {
                        let placed = if slot.reversed { &reversed } else { &placed };
                        let placed = &placed[segment.first * shape.batch..][..segment.steps * shape.batch];
                        slot.write(context, placed, signature.learns);
                    }
                }
            }
            Input::Features(x) => {
                let width = net.program.slots[net.program.input].width();
                let x = self.to_places(shape, width, x, 0.0);
                recording.write(context, &recording.slots[net.program.input], width, &x);
            }
        }
        if let Some((attended, (memory, width))) =
            recording.memory.as_ref().zip(batch.memory.zip(net.program.memory))
        {
            attended.write(context, &memory, width, shape.batch);
        }
        let lengths: Vec<u32> = self.counted.lengths.iter().map(|&n| n as u32).collect();
        context.write(&shared.lengths, 0, &lengths);
        let mut times = vec![0; shape.rows()];
        self.each(shape, |place, row, time| times[place] = (time - row * shape.steps) as u32);
        context.write(&shared.times, 0, &times);
        let mut scored = 0;
        if let Some(targets) = batch.targets {
            let targets = self.to_places(shape, 1, targets, -1);
            scored = targets.iter().filter(|&&target| target >= 0).count();
            context.write(&shared.targets, 0, &targets);
        }
        match batch.start {
            // The recording makes it, or the last run has left it.
            StartState::Zero | StartState::Carry => {}
            StartState::From(state) => context.write(&shared.state, 0, state),
            StartState::Held(state) => {
                let any: &dyn Any = state;
                let kept = any.downcast_ref::<Kept>().filter(|kept| std::ptr::eq(kept.context, context));
                context.copy(&kept.ok_or(FOREIGN)?.buffer, &shared.state, state.size());
            }
        }
        let (seed, step) = batch.training.map_or((0, 0), |key| (key.seed, key.step));
        let run: [u32; RUN_WORDS] = [
            seed as u32,
            (seed >> 32) as u32,
            step as u32,
            (step >> 32) as u32,
            batch.training.is_some().into(),
            scored as u32,
            self.counted.lengths.iter().sum::<usize>() as u32,
            self.counted.lengths.iter().map(|n| n.saturating_sub(1)).sum::<usize>() as u32,
        ];
        context.write(&shared.run, 0, &run);
        Ok(())
    }

    /// Each step that counts: its place here, its row, and where it was in (B, T).
    fn each(&self, shape: Shape, mut f: impl FnMut(usize, usize, usize)) {
        for (row, &length) in self.counted.lengths.iter().enumerate() {
            (0..length).for_each(|step| {
                f(step * shape.batch + row, row, row * shape.steps + self.counted.time(row, step))
            });
        }
    }

    /// From (B, T, width) in order of time to places; `empty` where no step counts.
    fn to_places<T: Copy>(&self, shape: Shape, width: usize, values: &[T], empty: T) -> Vec<T> {
        let mut out = vec![empty; shape.rows() * width];
        self.each(shape, |place, _, time| {
            out[place * width..][..width].copy_from_slice(&values[time * width..][..width]);
        });
        out
    }

    /// The tokens at each place, each row's steps turned round.
    fn reversed(&self, shape: Shape, placed: &[i32]) -> Vec<i32> {
        let mut out = vec![-1; placed.len()];
        for (row, &length) in self.counted.lengths.iter().enumerate() {
            for step in 0..length {
                out[(length - 1 - step) * shape.batch + row] = placed[step * shape.batch + row];
            }
        }
        out
    }

    /// From places to (B, T, width), zeros where no step counts.
    fn to_times(&self, shape: Shape, width: usize, values: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        self.each(shape, |place, _, time| {
            out[time * width..][..width].copy_from_slice(&values[place * width..][..width]);
        });
    }

    /// Brings the gradient of the output and of the state to the device.
    pub fn start_backward(&self, net: &Gpu, output: Option<&[f32]>, state: Option<&[f32]>) -> Result<()> {
        let (context, recording) = (net.context, self.recording()?);
        let (id, shape) = (net.program.output, recording.signature.shape);
        let (slot, buffers) = (net.program.slots[id], &recording.d_slots[id]);
        match output {
            Some(dy) if slot.is_pooled() => context.write(&buffers[0], 0, dy),
            Some(dy) => {
                let dy = self.to_places(shape, slot.width(), dy, 0.0);
                recording.write(context, buffers, slot.width(), &dy);
            }
            // The loss makes all of it.
            None if recording.signature.scores => {}
            None => context.clear(buffers),
        }
        match state {
            Some(d) => context.write(&self.shared.d_state, 0, d),
            None => context.clear([&self.shared.d_state]),
        }
        Ok(())
    }

    /// Copies a result out.
    pub fn read(&self, net: &Gpu, quantity: Quantity, out: &mut [f32]) -> Result<()> {
        let (context, recording) = (net.context, self.recording()?);
        let (program, shape) = (&net.program, recording.signature.shape);
        let mut slot = |buffers: &[wgpu::Buffer], slot: Slot| -> Result<()> {
            let width = slot.width();
            if slot.is_pooled() {
                out.copy_from_slice(&context.read::<f32>(&buffers[0], 0, shape.batch * width)?);
            } else {
                self.to_times(shape, width, &recording.read(context, buffers, width)?, out);
            }
            Ok(())
        };
        match quantity {
            Quantity::Output => slot(&recording.slots[program.output], program.slots[program.output])?,
            Quantity::LogProbs => {
                let log_probs = context.read(&self.shared.log_probs, 0, shape.rows())?;
                self.to_times(shape, 1, &log_probs, out);
            }
            Quantity::InputGradient => slot(&recording.d_slots[program.input], program.slots[program.input])?,
            Quantity::State => {
                out.copy_from_slice(&context.read::<f32>(&self.shared.state, 0, out.len())?);
            }
            Quantity::StateGradient => {
                out.copy_from_slice(&context.read::<f32>(&self.shared.d_state, 0, out.len())?);
            }
            Quantity::Penalty => out.copy_from_slice(&context.read::<f32>(&self.shared.outcome, 2, 1)?),
            Quantity::MemoryGradient => {
                let attended = recording.attended()?;
                out.copy_from_slice(&context.read::<f32>(&attended.d, 0, out.len())?);
            }
            Quantity::Attention => {
                let Attended { steps, ref shares, .. } = *recording.attended()?;
                let shares = recording.read(context, shares, steps)?;
                self.to_times(shape, steps, &shares, out);
            }
        }
        Ok(())
    }
}
