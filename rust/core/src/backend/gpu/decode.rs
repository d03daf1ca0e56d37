//! Texts read and drawn token by token: all rows together, their states on the device.

use super::Gpu;
use super::calls::{Calls, Recorded, words};
use super::context::Context;
use super::guarded::Guarded;
use super::run::Work;
use crate::backend::{Backend, Cuts, Decoder, Draw, Drawing, FOREIGN, Quantity};
use crate::error::{Error, Result};
use crate::program::{Batch, Input, Program, StartState};
use crate::shape::Shape;
use std::any::Any;

/// Texts in a batch, at most: so many are read in the time of one.
pub(super) const ROWS: usize = 64;
/// Tokens that a text draws before the host looks at them.
const AT_ONCE: usize = 64;
/// Words of a text in sample.wgsl.
const TEXT: usize = 5;
/// A token, and the bits of its log-probability.
const DRAW: usize = 2;

pub(super) struct Texts {
    context: &'static Context,
    work: Work,
    rows: usize,
    /// Of each part of the state: its place in one row's state, its place in that of all, its width.
    parts: Vec<[usize; 3]>,
    logits: Vec<f32>,
    vocabulary: usize,
    sampling: Option<Sampling>,
}

/// The buffers of drawing on the device, and its one call.
struct Sampling {
    texts: wgpu::Buffer,
    allowed: wgpu::Buffer,
    drawn: wgpu::Buffer,
    calls: Recorded,
}

impl Texts {
    pub fn new(net: &Gpu, rows: usize) -> Result<Self> {
        let program = &net.program;
        let work = Work::new(net, Shape { batch: rows, steps: 1 })?;
        let mut state = vec![0.0; rows * program.state_width()];
        program.initial_state(&net.weights()?, rows, &mut state);
        net.context.write(&work.shared.state, 0, &state);
        let vocabulary = program.slots[program.output].width();
        Ok(Self {
            context: net.context,
            work,
            rows,
            parts: parts(program, rows),
            logits: vec![0.0; rows * vocabulary],
            vocabulary,
            sampling: None,
        })
    }

    /// Reads a token in each of the first rows; the others keep their states.
    fn read(&mut self, net: &Gpu, tokens: &[i32]) -> Result<()> {
        let mut all = vec![-1; self.rows];
        all[..tokens.len()].copy_from_slice(tokens);
        let lengths: Vec<usize> = (0..self.rows).map(|row| usize::from(row < tokens.len())).collect();
        self.work.forward(net, &batch(&all, &lengths))
    }

    /// Makes ready to draw by a sampler.
    fn prepare(&mut self, net: &Gpu, drawing: &Drawing<'_>) -> Result<()> {
        let (context, rows, classes) = (self.context, self.rows, self.vocabulary);
        if self.sampling.is_none() {
            let recording = self.work.recording()?;
            let tokens = recording.tokens.iter().flatten().next();
            let tokens = tokens.ok_or(Error::Tape("a text that has read no token"))?;
            let texts = context.buffer("texts", rows * TEXT)?;
            let allowed = context.buffer("tokens that may be drawn", classes)?;
            let drawn = context.buffer("drawn tokens", rows * (DRAW * AT_ONCE + 1))?;
            let kernel = context.kernel("sample", SAMPLE);
            let logits = &recording.slots[net.program.output][0];
            let buffers = [logits, &allowed, &texts, &tokens.values, &self.work.shared.lengths, &drawn];
            let mut calls = Calls::default();
            calls.add(&kernel, &buffers, &[], [rows, 1, 1]);
            let calls = calls.finish(context, &self.work.shared.run);
            self.sampling = Some(Sampling { texts, allowed, drawn, calls });
        }
        let Some(Sampling { allowed, calls, .. }) = &self.sampling else { return Ok(()) };
        let Cuts { temperature, top_k, top_p, allowed: ref runs } = *drawing.cuts;
        let mut may = vec![0u32; classes];
        runs.iter().for_each(|run| may[run.clone()].fill(1));
        context.write(allowed, 0, &may);
        calls.set(context, 0, words![rows, classes, top_k.min(classes), top_p, temperature]);
        Ok(())
    }

    /// Draws `n` more tokens of each text that goes on.
    fn draw_some(&mut self, net: &Gpu, drawing: &Drawing<'_>, n: usize, all: &mut [Vec<Draw>]) -> Result<()> {
        let (context, rows) = (self.context, self.rows);
        let mut tokens: Vec<i32> = drawing.tokens.to_vec();
        let mut lengths = vec![0; rows];
        let mut texts = vec![0u32; rows * TEXT];
        for (row, text) in drawing.texts.iter().enumerate() {
            let drawn = &all[row];
            tokens[row] = drawn.last().map_or(tokens[row], |draw| draw.token);
            lengths[row] = usize::from(drawn.is_empty() || text.stop != Some(tokens[row]));
            let [low, high] = text.stream.seed();
            let count = text.count + drawn.len() as u64;
            let stop = text.stop.map_or(u32::MAX - 1, |stop| stop as u32);
            texts[row * TEXT..][..TEXT].copy_from_slice(&[
                low,
                high,
                stop,
                count as u32,
                (count >> 32) as u32,
            ]);
        }
        tokens.resize(rows, -1);
        self.work.prepare(net, &batch(&tokens, &lengths))?;
        let Some(Sampling { texts: buffer, drawn, calls, .. }) = &self.sampling else { return Ok(()) };
        context.write(buffer, 0, &texts);
        context.clear([drawn]);
        Recorded::submit_in_turn(context, &[&self.work.recording()?.forward, calls], n);
        let words: Vec<u32> = context.read(drawn, 0, rows * (DRAW * AT_ONCE + 1))?;
        for (row, draws) in all.iter_mut().enumerate() {
            let count = words[words.len() - 1 - row] as usize;
            for at in (0..count).map(|i| DRAW * (i * rows + row)) {
                if words[at] == u32::MAX {
                    return Err(Error::NotFinite { name: "logits".to_owned() });
                }
                let log_prob = f64::from(f32::from_bits(words[at + 1]));
                draws.push(Draw { token: words[at] as i32, log_prob });
            }
        }
        Ok(())
    }
}

fn batch<'a>(tokens: &'a [i32], lengths: &'a [usize]) -> Batch<'a, f32> {
    Batch {
        shape: Shape { batch: tokens.len(), steps: 1 },
        input: Input::Tokens(tokens),
        targets: None,
        lengths: Some(lengths),
        mask: None,
        memory: None,
        start: StartState::Carry,
        training: None,
    }
}

fn parts(program: &Program, rows: usize) -> Vec<[usize; 3]> {
    let mut own = 0;
    let mut parts = Vec::new();
    for part in 0..2 {
        for (scan, state) in program.states.iter().enumerate() {
            let width = state.widths[part];
            parts.push([own, program.state_offset(part, scan, rows), width]);
            own += width;
        }
    }
    parts
}

/// The network of a backend.
fn network(backend: &dyn Backend<f32>) -> Result<&Gpu> {
    let backend: &dyn Any = backend;
    backend.downcast_ref::<Guarded>().map(|Guarded(gpu)| gpu).ok_or(FOREIGN)
}

impl Decoder<f32> for Texts {
    fn step(&mut self, backend: &dyn Backend<f32>, tokens: &[i32]) -> Result<()> {
        let net = network(backend)?;
        net.context.guard(|| {
            self.read(net, tokens)?;
            let mut logits = std::mem::take(&mut self.logits);
            let read = self.work.read(net, Quantity::Output, &mut logits);
            self.logits = logits;
            read
        })
    }

    fn logits(&self, row: usize) -> &[f32] {
        &self.logits[row * self.vocabulary..][..self.vocabulary]
    }

    fn save(&self, row: usize, state: &mut [f32]) -> Result<()> {
        self.context.guard(|| {
            let all: Vec<f32> = self.context.read(&self.work.shared.state, 0, self.rows * state.len())?;
            for &[own, at, width] in &self.parts {
                state[own..own + width].copy_from_slice(&all[at + row * width..][..width]);
            }
            Ok(())
        })
    }

    fn load(&mut self, row: usize, state: &[f32]) {
        for &[own, at, width] in &self.parts {
            self.context.write(&self.work.shared.state, at + row * width, &state[own..own + width]);
        }
    }

    fn draws(&self) -> bool {
        true
    }

    fn draw(&mut self, backend: &dyn Backend<f32>, drawing: &Drawing<'_>) -> Result<Vec<Vec<Draw>>> {
        let net = network(backend)?;
        net.context.guard(|| {
            let mut all = vec![Vec::new(); drawing.texts.len()];
            let mut left = drawing.n;
            while left > 0 {
                let n = left.min(AT_ONCE);
                if self.sampling.is_none() {
                    // A recording of the shape, which nothing runs.
                    self.work.prepare(net, &batch(&vec![-1; self.rows], &vec![0; self.rows]))?;
                }
                self.prepare(net, drawing)?;
                self.draw_some(net, drawing, n, &mut all)?;
                left -= n;
            }
            Ok(all)
        })
    }
}

const SAMPLE: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/sample.wgsl"));
