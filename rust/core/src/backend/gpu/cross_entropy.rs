//! Softmax and its cross-entropy with the targets, row by row; the loss of a run.

use super::calls::{Calls, words};
use super::kernel::GRID;
use super::recording::Recorder;
use crate::error::Result;
use crate::program::SlotId;

pub(super) fn record(r: &mut Recorder<'_>, logits: SlotId) -> Result<()> {
    if !r.signature.scores {
        return Ok(());
    }
    let (context, rows, classes) = (r.context(), r.places(logits), r.width(logits));
    let grid = [rows.min(GRID), rows.div_ceil(GRID), 1];
    let kernel = context.kernel("cross entropy", include_str!("wgsl/cross_entropy.wgsl"));
    let (z, log_probs, targets) = (r.slot(logits), &r.shared.log_probs, &r.shared.targets);
    r.forward.add(&kernel, &[&z, targets, log_probs], words![rows, classes], grid);
    let kernel = context.kernel("mean loss", include_str!("wgsl/mean_loss.wgsl"));
    r.forward.add(&kernel, &[log_probs, &r.shared.outcome], words![rows], [1, 1, 1]);

    let mut back = Calls::default();
    let kernel = context.kernel("cross entropy backward", include_str!("wgsl/cross_entropy_backward.wgsl"));
    let buffers = [&z, targets, log_probs, &r.d_slot(logits)];
    back.add(&kernel, &buffers, words![rows, classes], super::kernel::over(rows * classes));
    r.back(back);
    Ok(())
}
