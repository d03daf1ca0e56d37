//! Zeros at random.

use super::calls::{Calls, words};
use super::kernel::over;
use super::recording::Recorder;
use crate::error::Result;
use crate::program::SlotId;
use crate::rng::Kind;

/// y = x ⊙ mask, with masks by their address: unit, row and time of what is kept.
pub(super) fn record(
    r: &mut Recorder<'_>,
    input: SlotId,
    p: f64,
    variational: bool,
    site: u32,
    out: SlotId,
) -> Result<()> {
    let (context, width, len) = (r.context(), r.width(input), r.places(input) * r.width(input));
    let once = variational || r.net.program.slots[input].is_pooled();
    let keep = if r.signature.learns { 1.0 - p } else { 1.0 };
    let limit = (keep * f64::from(1 << 24)).ceil() as u32;
    let site = (Kind::Dropout as u32) << 24 | site;
    let kernel = context.kernel("dropout", include_str!("wgsl/dropout.wgsl"));
    let numbers = |add: bool| *words![len, width, r.batch(), r.first(), once, site, limit, 1.0 / keep, add];
    let (forward, backward) = (numbers(false), numbers(r.adds_to(input)));
    let times = &r.shared.times;
    r.forward.add(&kernel, &[&r.slot(input), times, &r.slot(out)], &forward, over(len));

    // dx (+)= dy ⊙ mask.
    let mut back = Calls::default();
    back.add(&kernel, &[&r.d_slot(out), times, &r.d_slot(input)], &backward, over(len));
    r.back(back);
    Ok(())
}
