//! Vectors of tokens.

use super::Reference;
use super::vectors::add;
use super::work::{Place, Work};
use crate::cells::Lanes;
use crate::float::Float;
use crate::params::ParamId;
use crate::program::SlotId;
use crate::rng::{Kind, Stream};

/// The tokens at the places of a slot, less −1, each with its factor: a whole token is dropped.
fn tokens<T: Float>(work: &Work<T>, slot: SlotId, p: f64) -> Vec<(usize, usize, T)> {
    let tokens = work.tokens[slot].as_ref().expect("a checked batch of tokens");
    let mask = work
        .training
        .filter(|_| p > 0.0)
        .map(|key| Stream::new(key.seed, Kind::EmbeddingDropout, 0, key.step));
    let real =
        work.steps().into_iter().filter_map(|Place { at, .. }| Some((at, u32::try_from(tokens[at]).ok()?)));
    real.map(|(at, token)| (at, token as usize, mask.map_or(T::ONE, |mask| mask.keep_mask(token, 1.0 - p))))
        .collect()
}

/// y = table[token] · mask[token], 0 for token −1.
pub(super) fn gather<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    slot: SlotId,
    table: ParamId,
    p: f64,
    out: SlotId,
) {
    let (table, width) = (net.values(table), net.program.slots[out].width());
    for (at, token, factor) in tokens(work, slot, p) {
        add(&mut work.slots[out][at * width..][..width], factor, &table[token * width..][..width]);
    }
}

pub(super) fn gather_backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    slot: SlotId,
    table: ParamId,
    p: f64,
    out: SlotId,
) {
    let (table, width) = (net.program.parameters.range(table), net.program.slots[out].width());
    for (at, token, factor) in tokens(work, slot, p) {
        let row = &mut work.gradient[table.start + token * width..][..width];
        add(row, factor, &work.d_slots[out][at * width..][..width]);
    }
}
