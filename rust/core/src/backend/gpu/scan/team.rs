//! How the threads of a workgroup share the work of a step.

use crate::cells::{Operand, Product};
use crate::program::Recurrence;

/// How a workgroup shares its work: by units, slices of their sums, and the rows that a thread sums for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Team {
    pub units: usize,
    pub slices: usize,
    pub rows: usize,
    /// Whether it has all units of its rows, so that a call can do many steps.
    pub persistent: bool,
}

impl Team {
    /// Most units of which a workgroup has all: beyond, one multiprocessor would take longer to read the
    /// weights than a call takes to start.
    const MOST: usize = 128;

    pub fn of(scan: &Recurrence) -> Self {
        let fits = |product: &Product| product.operand == Operand::H;
        if scan.hidden <= Self::MOST && scan.cell.layout().products.iter().all(fits) {
            let units = scan.hidden.next_power_of_two().max(32);
            return Self { units, slices: 256 / units, rows: 2, persistent: true };
        }
        Self { units: 16, slices: 8, rows: 4, persistent: false }
    }

    /// Steps that one call does: no thread may come near to 65,535 iterations of all its loops.
    pub fn steps(self, scan: &Recurrence) -> usize {
        if !self.persistent {
            return 1;
        }
        let cells = (self.units * self.rows).div_ceil(self.units * self.slices);
        let iterations = scan.hidden.div_ceil(self.slices) + cells * (1 + 8 * self.slices) + 2;
        40_000 / iterations
    }

    pub fn text(self) -> String {
        let Self { units, slices, rows, .. } = self;
        let threads = units * slices;
        format!(
            "const UNITS = {units}u;\nconst SLICES = {slices}u;\nconst ROWS = {rows}u;\nconst TEAM = {threads}u;"
        )
    }
}
