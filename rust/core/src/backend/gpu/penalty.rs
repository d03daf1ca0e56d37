//! What large and changing numbers add to the loss of a training run.

use super::calls::{Calls, words};
use super::kernel::{THREADS, over};
use super::recording::Recorder;
use crate::error::Result;
use crate::program::SlotId;

/// Numbers that one workgroup adds up: 64 a thread, as in the kernel.
const CHUNK: usize = 64 * THREADS;

/// activation · mean x² + temporal · mean (x⟨s⟩ − x⟨s−1⟩)².
pub(super) fn record(r: &mut Recorder<'_>, input: SlotId, factors: [f64; 2]) -> Result<()> {
    if !r.signature.learns {
        return Ok(());
    }
    let [activation, temporal] = factors;
    let (lengths, segments) = (&r.shared.lengths, r.segments.clone());
    r.each_segment(|r| {
        let (context, width, batch, segment) = (r.context(), r.width(input), r.batch(), r.segment);
        let len = r.places(input) * width;
        let (x, chunks) = (r.slot(input), len.div_ceil(CHUNK));
        let parts = r.buffer("parts of a penalty", chunks)?;
        // The steps before and after belong to it. Where there are none, nothing is read of those given.
        let before = segments[segment.number.saturating_sub(1)];
        let after = segments[(segment.number + 1).min(segments.len() - 1)];
        let last = before.steps.saturating_sub(1) * batch * width;
        let [before, after] = [before, after].map(|other| r.slot_in(other.number, input));
        let numbers = |add: bool| *words![len, width, batch, segment.first, last, activation, temporal, add];
        let kernel = context.kernel("penalty", PENALTY);
        r.forward.add(&kernel, &[&x, &before, lengths, &parts], &numbers(false), [chunks, 1, 1]);
        let kernel = context.kernel("add penalty", ADD);
        r.forward.add(&kernel, &[&parts, &r.shared.outcome], words![chunks], [chunks.min(1), 1, 1]);

        let mut back = Calls::default();
        let kernel = context.kernel("penalty backward", include_str!("wgsl/penalty_backward.wgsl"));
        let buffers = [&x, &before, &after, lengths, &r.d_slot(input)];
        back.add(&kernel, &buffers, &numbers(r.adds_to(input)), over(len));
        r.back(back);
        Ok(())
    })
}

const PENALTY: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/penalty.wgsl"));
const ADD: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/penalty_add.wgsl"));
