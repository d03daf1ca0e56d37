//! One recurrent layer in one direction, as an op: its sizes, weights and regularisers.
//!
//! A step from the state (h, c) before it, with the cell's own equations in the middle:
//! ```text
//! h̃ = h ⊙ m                        what the products see; m: one mask a sequence (Gal and Ghahramani 2016)
//! z = N(W_ih x) + N((W_hh ⊙ M) h̃)  N: layer normalisation or nothing; M: DropConnect (Merity et al. 2018)
//! h', c' = cell(z, h, c)           with candidate dropout (Semeniuta et al. 2016); tanh(N(c')) in place of tanh(c')
//! h' ← W_hr h'                     projection (Sak et al. 2014)
//! h' ← k h' + (1 − k) h            zoneout (Krueger et al. 2017), and c' likewise
//! ```
//! [`super::Attention`] has the context of a memory that may be added to W_ih x.

use super::{Attention, SlotId};
use crate::cells::Cell;
use crate::params::ParamId;

/// Added to a variance before its root is taken.
pub const NORM_EPS: f64 = 1e-5;

/// A recurrent layer in one direction, over all steps.
#[derive(Clone, Debug)]
pub struct Recurrence {
    /// Tokens (one-hot) or features.
    pub input: SlotId,
    /// h at every step: features.
    pub out: SlotId,
    /// The cell.
    pub cell: Cell,
    /// H.
    pub hidden: usize,
    /// Numbers in h: H, or P with a projection.
    pub width: usize,
    /// Its place among the program's states; tells the masks of several layers apart.
    pub layer: usize,
    /// Its weights.
    pub weights: ScanWeights,
    /// Its regularisers.
    pub noise: Noise,
    /// How it attends to the memory, where it does.
    pub attention: Option<Attention>,
}

/// The weights of one recurrent layer. G: gates.
#[derive(Clone, Copy, Debug)]
pub struct ScanWeights {
    /// (G·H, I).
    pub ih: ParamId,
    /// (G·H, P); none where no gate sees the state.
    pub hh: Option<ParamId>,
    /// (G·H).
    pub bias_ih: Option<ParamId>,
    /// (G·H).
    pub bias_hh: Option<ParamId>,
    /// Peepholes: one number a unit and gate, or for the full form (gates · H, H).
    pub ch: Option<ParamId>,
    /// Projection, (P, H).
    pub hr: Option<ParamId>,
    /// Layer normalisation.
    pub norm: Option<NormWeights>,
    /// The learned initial h (P) and c (H).
    pub initial: [Option<ParamId>; 2],
}

/// The gains of a layer-normalised cell (Ba et al. 2016); its biases are the shifts.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights {
    /// Of W_ih x, (G·H).
    pub gain_ih: ParamId,
    /// Of W_hh h, (G·H).
    pub gain_hh: ParamId,
    /// Gain and shift of the memory, (H) each.
    pub memory: Option<[ParamId; 2]>,
}

/// The probabilities of a layer's regularisers, each 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Of a zero in h as the products see it, one mask a sequence.
    pub recurrent: f64,
    /// Of a zero in the candidate, a new mask each step.
    pub candidate: f64,
    /// Of a zero in `weight_hh`, one mask a training run.
    pub weights: f64,
    /// Of keeping the old h and the old c.
    pub zoneout: [f64; 2],
}
