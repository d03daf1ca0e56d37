//! Builders of programs: stacks of recurrent layers, and blocks in a row.

mod recurrent;
mod spec;

pub use recurrent::{Merge, Recurrent, Widths};
pub use spec::{Block, Pool, Spec, SpecInput};
