//! A layer in a recording: its buffers, its weights, and what its calls have in common.

use super::super::calls::words;
use super::super::kernel::Kernel;
use super::super::product::Matrix;
use super::super::recording::Recorder;
use super::team::Team;
use super::texts::{Features, Half, Text};
use super::weights::Weights;
use crate::cells::{Layout, Operand, Seen};
use crate::error::Result;
use crate::program::Recurrence;
use crate::rng::Kind;
use std::sync::Arc;

/// The buffers of a layer: those of one direction, then those of the other. What a layer does not need is of
/// a few numbers.
pub(super) struct Tape {
    /// Slots of every step (T, B, S · H): pre-activations, then activations, then their gradients.
    pub z: wgpu::Buffer,
    /// h (T + 1, B, H) and c (T + 1, B, H): the state before each step, and at the end.
    pub h: wgpu::Buffer,
    pub c: wgpu::Buffer,
    /// h as the products see it, under its mask (T, B, H).
    pub seen: wgpu::Buffer,
    /// r ⊙ h (T, B, H).
    pub reset: wgpu::Buffer,
    /// c as the cell made it (T, B, H), where zoneout makes the state another.
    pub made: wgpu::Buffer,
    /// Row by row, the gradients of peepholes (K, B, H).
    pub d_peephole: wgpu::Buffer,
}

/// A layer in a segment of a recording.
pub(super) struct Layer<'a> {
    /// Its directions: one, or two of one form.
    pub scans: &'a [&'a Recurrence],
    pub layout: Layout,
    pub features: Features,
    pub tape: Tape,
    pub weights: &'a Weights,
    /// B, and T of the segment; their product; and its first step.
    pub batch: usize,
    pub steps: usize,
    pub rows: usize,
    pub first: usize,
}

impl<'a> Layer<'a> {
    pub fn new(r: &Recorder<'_>, scans: &'a [&'a Recurrence], kept: &'a Weights) -> Result<Self> {
        let Recurrence { cell, noise, weights, width, hidden: h, .. } = scans[0];
        let (layout, memory, learns) = (cell.layout(), cell.has_memory(), r.signature.learns);
        let sees_made = layout.peepholes.iter().any(|sight| sight.seen == Seen::After);
        let features = Features {
            bias: weights.bias_hh.is_some(),
            masks_state: learns && noise.recurrent > 0.0,
            masks_candidate: learns && noise.candidate > 0.0,
            zoneout: noise.zoneout.map(|p| p > 0.0),
            draws: learns,
            both: scans.len() == 2,
            keeps_memory: learns && sees_made && noise.zoneout[1] > 0.0,
            keeps_emitted: learns && weights.hr.is_some(),
        };
        let (batch, steps, first) = (r.batch(), r.steps(), r.segment.first);
        let rows = batch * steps;
        let buffer =
            |name: &str, wanted: bool, len: usize| r.buffer(name, if wanted { scans.len() * len } else { 0 });
        let tape = Tape {
            z: buffer("slots of a layer", true, rows * layout.slots * h)?,
            h: buffer("hidden states", true, (rows + batch) * width)?,
            c: buffer("memories", memory, (rows + batch) * h)?,
            seen: buffer("masked hidden states", features.masks_state, rows * width)?,
            reset: buffer("reset hidden states", layout.resets(), rows * h)?,
            made: buffer("memories as made", features.keeps_memory, rows * h)?,
            d_peephole: buffer("gradients of peepholes", learns, layout.peepholes.len() * batch * h)?,
        };
        Ok(Self { scans, layout, features, tape, weights: kept, batch, steps, rows, first })
    }

    /// The kernel of a text and its buffers; `slots` are those that the directions write, or their gradients.
    pub fn kernel<'b>(
        &'b self,
        r: &'b Recorder<'_>,
        name: &str,
        text: Text,
        slots: &'b [wgpu::Buffer],
    ) -> (Arc<Kernel>, Vec<&'b wgpu::Buffer>) {
        let buffers = text.buffers.iter().map(|name| self.named(r, name, slots)).collect();
        (r.context().kernel(name, &text.body), buffers)
    }

    /// The buffer that a kernel's text calls so.
    pub fn named<'b>(
        &'b self,
        r: &'b Recorder<'_>,
        name: &str,
        slots: &'b [wgpu::Buffer],
    ) -> &'b wgpu::Buffer {
        let Tape { z, h, c, seen, reset, made, d_peephole } = &self.tape;
        match name {
            "values" | "ch" => &r.net.values,
            "lengths" => &r.shared.lengths,
            "z" => z,
            "h" => h,
            "c" => c,
            "seen" => seen,
            "reset" => reset,
            "made" => made,
            "d_peephole" => d_peephole,
            "d_state" => &r.shared.d_state,
            "hh_t" => &self.weights.hh_t,
            "ch_t" => &self.weights.ch_t,
            "hh" => self.weights.hh(r),
            "out_other" | "dy_other" => &slots[1],
            _ => &slots[0],
        }
    }

    pub fn grid(&self) -> [usize; 3] {
        let Team { units, rows, .. } = Team::of(self.scans[0]);
        [self.scans[0].hidden.div_ceil(units), self.batch.div_ceil(rows), self.scans.len()]
    }

    /// The two halves of a step where one of its products waits for the reset gate.
    pub fn halves(&self) -> &'static [Half] {
        if self.layout.resets() { &[Half::First, Half::Second] } else { &[Half::Whole] }
    }

    /// The numbers of the draws, as both kernels have them.
    pub fn draws(&self) -> [u32; 12] {
        let Recurrence { noise, layer, .. } = self.scans[0];
        let site = |kind: Kind| (kind as u32) << 24 | *layer as u32;
        let limit = |p: f64| ((1.0 - p) * f64::from(1 << 24)).ceil() as u32;
        let scale = |p: f64| 1.0 / (1.0 - p);
        let [zone_h, zone_c] = noise.zoneout;
        *words![
            site(Kind::CandidateDropout),
            limit(noise.candidate),
            scale(noise.candidate),
            site(Kind::ZoneoutHidden),
            limit(zone_h),
            1.0 - zone_h,
            site(Kind::ZoneoutCell),
            limit(zone_c),
            1.0 - zone_c,
            site(Kind::RecurrentDropout),
            limit(noise.recurrent),
            scale(noise.recurrent),
        ]
    }

    /// How far the other direction's masks are from those of the first.
    pub fn site_step(&self) -> u32 {
        let [first, last] = [0, self.scans.len() - 1].map(|direction| self.scans[direction].layer as u32);
        last.wrapping_sub(first)
    }

    /// A number of each direction; of the only one twice.
    pub fn each(&self, of: impl Fn(&Recurrence) -> u32) -> [u32; 2] {
        [0, self.scans.len() - 1].map(|direction| of(self.scans[direction]))
    }

    /// Something of each direction.
    pub fn all<T>(&self, of: impl Fn(usize) -> T) -> Vec<T> {
        (0..self.scans.len()).map(of).collect()
    }

    /// Where h (part 0) or c (part 1) of a direction is in the state.
    pub fn state(&self, r: &Recorder<'_>, part: usize, scan: &Recurrence) -> usize {
        r.net.program.state_offset(part, scan.layer, self.batch)
    }

    /// Numbers of a step's row in `z`, and those of them that the input feeds.
    pub fn widths(&self) -> [usize; 2] {
        [self.layout.slots, self.layout.gates].map(|blocks| blocks * self.scans[0].hidden)
    }

    /// The slots of a direction, from some column on.
    pub fn z(&self, direction: usize, column: usize) -> Matrix<'_> {
        let [width, _] = self.widths();
        Matrix::new(&self.tape.z, direction * self.rows * width + column, width)
    }

    /// h before each step, not masked; of the first direction.
    pub fn hidden(&self) -> Matrix<'_> {
        Matrix::new(&self.tape.h, 0, self.scans[0].width)
    }

    /// What a recurrent product multiplied, of all steps.
    pub fn operand(&self, operand: Operand, direction: usize) -> Matrix<'_> {
        let Recurrence { width, hidden, .. } = *self.scans[0];
        let (rows, states) = (direction * self.rows, direction * (self.rows + self.batch));
        match operand {
            Operand::H if self.features.masks_state => Matrix::new(&self.tape.seen, rows * width, width),
            Operand::H => Matrix::new(&self.tape.h, states * width, width),
            Operand::ResetH => Matrix::new(&self.tape.reset, rows * hidden, hidden),
            Operand::C => Matrix::new(&self.tape.c, states * hidden, hidden),
        }
    }
}
