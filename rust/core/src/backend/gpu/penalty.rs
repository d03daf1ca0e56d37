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
    let (context, width, batch) = (r.context(), r.width(input), r.batch());
    let len = r.places(input) * width;
    let (x, lengths, chunks) = (r.slot(input), &r.shared.lengths, len.div_ceil(CHUNK));
    let parts = r.buffer("parts of a penalty", chunks)?;
    let [activation, temporal] = factors;
    let numbers = |add: bool| *words![len, width, batch, activation, temporal, add];
    let kernel = context.kernel("penalty", PENALTY);
    r.forward.add(&kernel, &[&x, lengths, &parts], &numbers(false), [chunks, 1, 1]);
    let kernel = context.kernel("add penalty", ADD);
    r.forward.add(&kernel, &[&parts, &r.shared.outcome], words![chunks], [chunks.min(1), 1, 1]);

    let mut back = Calls::default();
    let kernel = context.kernel("penalty backward", include_str!("wgsl/penalty_backward.wgsl"));
    back.add(&kernel, &[&x, lengths, &r.d_slot(input)], &numbers(r.adds_to(input)), over(len));
    r.back(back);
    Ok(())
}

const PENALTY: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/penalty.wgsl"));
const ADD: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/penalty_add.wgsl"));
