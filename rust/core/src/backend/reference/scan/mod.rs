//! One recurrent layer, row by row, step by step and unit by unit: the equations of
//! [`crate::program::Recurrence`] in their order, and back.

mod attention;
mod backward;
mod forward;
mod layer;
mod weights;

pub(super) use backward::backward;
pub(super) use forward::forward;
