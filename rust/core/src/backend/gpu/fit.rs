//! How many steps of a run its buffers can hold.

use super::Gpu;
use super::adapters;
use super::budget::Budget;
use super::kernel::GRID;
use super::ops::recording;
use super::product::TILE;
use super::recording::{Recording, Shared, Signature};
use crate::error::Result;

/// A recording in as few segments as the device can bind.
pub(super) fn recorded(net: &Gpu, shared: &Shared, signature: Signature) -> Result<Recording> {
    recording(net, shared, signature, longest(net, shared, signature)?)
}

/// The most steps that a segment can have. Fails where the device has no room for what all of them take, or
/// cannot bind what even one step does.
pub(super) fn longest(net: &Gpu, shared: &Shared, signature: Signature) -> Result<usize> {
    let (context, shape) = (net.context, signature.shape);
    // As many rows as a product's grid has tiles for.
    let rows = GRID * TILE / shape.batch.max(1);
    let mut each = adapters::most_steps()?.unwrap_or(usize::MAX).min(rows).clamp(1, shape.steps.max(1));
    let mut known = u64::MAX;
    loop {
        let budget = Budget::of(|| recording(net, shared, signature, each))?;
        let (largest, most) = (budget.largest(), context.most_in_one_piece());
        // A tensor that shorter segments leave as it is is not one of steps.
        if largest <= most || largest >= known || each == 1 {
            budget.check(context, "reduce the batch, its steps or the model")?;
            return Ok(each);
        }
        known = largest;
        each = shorter(shape.steps, each, largest as f64 / most as f64);
    }
}

/// Steps of a segment where those of `each` take `times` as much as there may be.
fn shorter(steps: usize, each: usize, times: f64) -> usize {
    let count = (steps.div_ceil(each) as f64 * times).ceil();
    steps.div_ceil(count as usize).min(each - 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_segments_are_of_equal_length() {
        assert_eq!(shorter(10_000, 10_000, 4.9), 2000);
        assert_eq!(shorter(7, 2, 1.01), 1);
        assert_eq!(shorter(100, 50, 1.2), 34);
        assert_eq!(shorter(100, 100, 1e9), 1);
    }
}
