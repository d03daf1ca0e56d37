//! What one recurrent layer keeps of a run over one group.

use super::packed::Room;
use super::scratch::{Buffer, Rows};

/// The tape. Rows that a layer has no use for are empty.
#[derive(Default)]
pub(crate) struct Tape<T> {
    /// The cell's slots, unit block by unit block, packed row by packed row: `[H / L][rows][S·L]`.
    /// First the input's part, then activated gates, then, after the backward run, the
    /// gradients of the pre-activations.
    pub(crate) z: Buffer<T>,
    /// c before the first step and after each.
    pub(crate) c: Rows<T>,
    /// r ⊙ h⟨t−1⟩, for the cells that have it.
    pub(crate) reset: Rows<T>,
    /// The gradient of the state, carried from step to step.
    pub(crate) dh: Rows<T>,
    pub(crate) dc: Rows<T>,
    pub(crate) d_reset: Rows<T>,
    pub(crate) noise: NoiseTape<T>,
    /// Before a projection: h of H units, the gradient of the projected h at every step, and that
    /// of h at the step at hand. The gradient of the projected h also serves zoneout.
    pub(crate) wide: Rows<T>,
    pub(crate) d_new: Rows<T>,
    pub(crate) d_wide: Rows<T>,
    pub(crate) norm: NormTape<T>,
    pub(crate) attend: AttendTape<T>,
    /// What each recurrent product multiplies at the step at hand, rounded.
    pub(crate) rounded: [Room; 2],
}

/// The masks of a run, and what they are applied to.
#[derive(Default)]
pub(crate) struct NoiseTape<T> {
    /// h as the products see it, before the first step and after each; its mask and gradient.
    pub(crate) seen: Rows<T>,
    pub(crate) mask: Rows<T>,
    pub(crate) d_seen: Rows<T>,
    pub(crate) candidate: Rows<T>,
    /// Zoneout's k for h and c.
    pub(crate) keep: [Rows<T>; 2],
    pub(crate) d_new_c: Rows<T>,
    /// c as the step made it, where a peephole sees it and zoneout changes it.
    pub(crate) new_c: Rows<T>,
}

/// Normalised products, x̂, laid out as `z`; after the backward run their gradients.
#[derive(Default)]
pub(crate) struct NormTape<T> {
    pub(crate) input: NormRows<T>,
    pub(crate) recurrent: NormRows<T>,
    /// x̂ of the memory, with the gradients of gain and shift; and what the output gate sees of it.
    pub(crate) memory: Rows<T>,
    pub(crate) memory_scale: Buffer<T>,
    pub(crate) seen: Rows<T>,
    pub(crate) d_memory: [Buffer<T>; 2],
}

/// One normalised product of a layer.
#[derive(Default)]
pub(crate) struct NormRows<T> {
    pub(crate) x: Buffer<T>,
    /// Each row's 1 / √(var + eps), group by group.
    pub(crate) scale: Buffer<T>,
    pub(crate) d_gain: Buffer<T>,
}

/// What attention keeps of a run.
#[derive(Default)]
pub(crate) struct AttendTape<T> {
    /// W h of an additive score, and the gradients of all queries.
    pub(crate) query: Rows<T>,
    pub(crate) d_query: Rows<T>,
    /// a of every step, S numbers each.
    pub(crate) shares: Rows<T>,
    /// Of the step at hand.
    pub(crate) d_context: Rows<T>,
    pub(crate) d_vector: Buffer<T>,
    /// The contexts of the step at hand, rounded.
    pub(crate) rounded: Room,
}
