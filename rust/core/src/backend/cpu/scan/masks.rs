//! A layer's random masks, and what its products see of h under one of them.

use super::super::context::Context;
use super::super::math::Elementary;
use super::super::noise::{Extent, Multiply, choose};
use super::super::part::Part;
use super::super::scratch::Rows;
use super::super::tape::Tape;
use super::Scan;
use super::back::Backward;
use crate::rng::Kind;

impl<T: Elementary> Scan<T> {
    /// Draws the run's masks. They are functions of the step's number in this layer's direction,
    /// the row of the batch and the unit.
    pub(super) fn draw_masks(&self, part: &Part<T>, tape: &mut Tape<T>, run: &Context<'_, T>) {
        let (noise, site) = (self.recurrence.noise, self.recurrence.layer);
        let mask =
            |kind, p: f64, rows: &mut Rows<T>, width: usize, kept: f64, without: f64, each_step: bool| {
                if p == 0.0 {
                    return;
                }
                let stream = run.stream(kind, site);
                let mut draw = |t: usize, b: usize, row: usize| {
                    let to = &mut rows.at_mut(row)[..width];
                    match stream {
                        Some(stream) => choose(self.isa, stream, [t, b], 1.0 - p, kept, to),
                        None => to.fill(T::from_f64(without)),
                    }
                };
                if each_step {
                    for (t, step) in part.group.steps.iter().enumerate() {
                        (0..step.active).for_each(|i| draw(t, part.group.rows[i], step.first + i));
                    }
                } else {
                    part.group.rows.iter().enumerate().for_each(|(i, &b)| draw(0, b, i));
                }
            };
        let (hidden, width) = (self.recurrence.hidden, self.recurrence.width);
        let scaled = |p: f64| 1.0 / (1.0 - p);
        let NoiseRows { seen, candidate, keep: [keep_h, keep_c] } = NoiseRows::of(tape);
        mask(Kind::RecurrentDropout, noise.recurrent, seen, width, scaled(noise.recurrent), 1.0, false);
        mask(Kind::CandidateDropout, noise.candidate, candidate, hidden, scaled(noise.candidate), 1.0, true);
        let [p_h, p_c] = noise.zoneout;
        mask(Kind::ZoneoutHidden, p_h, keep_h, width, 1.0, 1.0 - p_h, true);
        mask(Kind::ZoneoutCell, p_c, keep_c, hidden, 1.0, 1.0 - p_c, true);
    }

    /// What the products see of the `rows` states from row `from` of the output on; their masks
    /// begin at `mask`.
    pub(super) fn see(&self, tape: &mut Tape<T>, out: &Rows<T>, from: usize, rows: usize, mask: usize) {
        if self.recurrence.noise.recurrent == 0.0 || rows == 0 {
            return;
        }
        let extent = Extent { rows, width: out.stride, stride: out.stride };
        let at = from * out.stride;
        let (a, b) = (&out.data[at..], tape.noise.mask.at(mask));
        let out = &mut tape.noise.seen.data[at..];
        self.isa.run(Multiply { extent, a, b, adds: false, out });
    }
}

impl<T: Elementary> Backward<'_, T> {
    /// From what the products saw of h to h.
    pub(super) fn unsee(&mut self, t: usize) {
        let Tape { dh, noise, .. } = &mut *self.tape;
        if noise.d_seen.stride > 0 {
            let (rows, stride) = (self.part.group.steps[t].active, dh.stride);
            let extent = Extent { rows, width: stride, stride };
            let (a, b) = (&noise.d_seen.data[..], &noise.mask.data[..]);
            self.scan.isa.run(Multiply { extent, a, b, adds: true, out: &mut dh.data });
        }
    }
}

/// The masks of a tape, to be drawn.
struct NoiseRows<'a, T> {
    seen: &'a mut Rows<T>,
    candidate: &'a mut Rows<T>,
    keep: [&'a mut Rows<T>; 2],
}

impl<'a, T> NoiseRows<'a, T> {
    fn of(tape: &'a mut Tape<T>) -> Self {
        let noise = &mut tape.noise;
        Self { seen: &mut noise.mask, candidate: &mut noise.candidate, keep: noise.keep.each_mut() }
    }
}
