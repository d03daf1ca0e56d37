//! One recurrent layer, row by row, step by step and unit by unit: the equations of
//! [`crate::program::Recurrence`] in their order, and back.

mod attention;
mod backward;
mod forward;
mod layer;
mod weights;

pub(super) use backward::backward;
pub(super) use forward::forward;

use super::norm::Normed;
use attention::Look;

/// What a step keeps for the way back.
pub(super) struct Tape<T> {
    /// h (P) and c (H) before the step.
    prev: [Vec<T>; 2],
    /// h̃ (P): h as the products see it.
    seen: Vec<T>,
    /// r ⊙ h̃ (H), where the cell has it.
    reset: Vec<T>,
    /// The cell's slots, (H, S).
    z: Vec<T>,
    /// The normalised W_ih x, group by group of gates.
    input_norms: Vec<Normed<T>>,
    /// The same for each recurrent product.
    product_norms: Vec<Vec<Normed<T>>>,
    /// c (H) as the cell made it.
    memory: Vec<T>,
    memory_norm: Option<Normed<T>>,
    /// h (H) before projection and zoneout.
    emitted: Vec<T>,
    /// At the memory, where the layer attends to one.
    look: Option<Look<T>>,
}
