//! Softmax and its cross-entropy with the targets, row by row; the loss of a run.
//!
//! The gradient of the logits takes their place: over a large vocabulary they are the largest of all tensors.

use super::calls::{Calls, words};
use super::kernel::{GRID, over};
use super::recording::Recorder;
use crate::error::Result;
use crate::program::SlotId;

pub(super) fn record(r: &mut Recorder<'_>, logits: SlotId) -> Result<()> {
    if !r.signature.scores {
        return Ok(());
    }
    let (log_probs, targets) = (&r.shared.log_probs, &r.shared.targets);
    r.each_segment(|r| {
        let (context, rows, classes, first) = (r.context(), r.places(logits), r.width(logits), r.first());
        let grid = [rows.min(GRID), rows.div_ceil(GRID), 1];
        let log_sums = r.buffer("log sums", rows)?;
        let kernel = context.kernel("cross entropy", CROSS_ENTROPY);
        let buffers = [&r.slot(logits), targets, log_probs, &log_sums];
        r.forward.add(&kernel, &buffers, words![rows, classes, first], grid);

        let mut back = Calls::default();
        let kernel =
            context.kernel("cross entropy backward", include_str!("wgsl/cross_entropy_backward.wgsl"));
        let buffers = [targets, &log_sums, &r.d_slot(logits)];
        back.add(&kernel, &buffers, words![rows, classes, first], over(rows * classes));
        r.back(back);
        Ok(())
    })?;
    let kernel = r.context().kernel("mean loss", MEAN_LOSS);
    let rows = r.signature.shape.rows();
    r.forward.add(&kernel, &[log_probs, &r.shared.outcome], words![rows], [1, 1, 1]);
    Ok(())
}

const CROSS_ENTROPY: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/cross_entropy.wgsl"));
const MEAN_LOSS: &str = concat!(include_str!("wgsl/fold.wgsl"), include_str!("wgsl/mean_loss.wgsl"));
