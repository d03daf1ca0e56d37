//! What the steps of a recurrent layer keep for the way back.

use super::norm::Normed;

/// Of one step.
pub(super) struct Tape<T> {
    /// h (P) and c (H) before the step.
    pub prev: [Vec<T>; 2],
    /// h̃ (P): h as the products see it.
    pub seen: Vec<T>,
    /// r ⊙ h̃ (H), where the cell has it.
    pub reset: Vec<T>,
    /// The cell's slots, (H, S).
    pub z: Vec<T>,
    /// The normalised W_ih x, group by group of gates.
    pub input_norms: Vec<Normed<T>>,
    /// The same for each recurrent product.
    pub product_norms: Vec<Vec<Normed<T>>>,
    /// c (H) as the cell made it.
    pub memory: Vec<T>,
    pub memory_norm: Option<Normed<T>>,
    /// h (H) before projection and zoneout.
    pub emitted: Vec<T>,
    /// At the memory, where the layer attends to one.
    pub look: Option<Look<T>>,
}

/// Of a look at the memory.
pub(super) struct Look<T> {
    /// h, of which the query was made.
    pub h: Vec<T>,
    /// h, or W h for an additive score.
    pub query: Vec<T>,
    /// Of each step of the memory: m, or U m.
    pub keys: Vec<Vec<T>>,
    /// a.
    pub shares: Vec<T>,
    /// c.
    pub context: Vec<T>,
}
