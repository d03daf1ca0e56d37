//! What one recurrent layer keeps of a run over one group.

use super::super::math::Elementary;
use super::super::packed::Room;
use super::super::scratch::{Buffer, Rows};
use super::Scan;
use super::attend::AttendTape;

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

impl<T: Elementary> NormRows<T> {
    /// For `rows` rows of a layer.
    pub(crate) fn new(scan: &Scan<T>, rows: usize) -> Self {
        let size = scan.blocks * scan.line();
        Self {
            x: Buffer::new(size * rows),
            scale: Buffer::new(rows * scan.layout.norms.len()),
            d_gain: Buffer::new(size),
        }
    }
}

impl<T: Elementary> Scan<T> {
    /// A tape for a group of `batch` rows and `rows` packed rows.
    pub(in super::super) fn tape(&self, batch: usize, rows: usize) -> Tape<T> {
        let (hidden, width, noise) = (self.recurrence.hidden, self.recurrence.width, self.recurrence.noise);
        let rows_if = |wanted: bool, lead: usize, rows: usize, width: usize| {
            if wanted { Rows::new(lead, rows, width, self.lanes) } else { Rows::default() }
        };
        let memory = self.recurrence.cell.has_memory();
        let (resets, projects) = (self.layout.resets(), self.projection.is_some());
        let [zones_h, zones_c] = noise.zoneout.map(|p| p > 0.0);
        let masks = noise.recurrent > 0.0;
        let norm_memory = self.norm.as_ref().is_some_and(|norm| norm.memory.is_some());
        Tape {
            z: Buffer::new(self.blocks * rows * self.line()),
            c: rows_if(memory, batch, rows, hidden),
            reset: rows_if(resets, 0, rows, hidden),
            dh: rows_if(true, 0, batch, width),
            dc: rows_if(memory, 0, batch, hidden),
            d_reset: rows_if(resets, 0, batch, hidden),
            noise: NoiseTape {
                seen: rows_if(masks, batch, rows, width),
                mask: rows_if(masks, 0, batch, width),
                d_seen: rows_if(masks, 0, batch, width),
                candidate: rows_if(noise.candidate > 0.0, 0, rows, hidden),
                keep: [rows_if(zones_h, 0, rows, width), rows_if(zones_c, 0, rows, hidden)],
                d_new_c: rows_if(zones_c, 0, batch, hidden),
                new_c: rows_if(zones_c && self.sees_after(), 0, rows, hidden),
            },
            wide: rows_if(projects, 0, rows, hidden),
            d_new: rows_if(self.shares_gradient(), 0, rows, width),
            d_wide: rows_if(projects, 0, batch, hidden),
            norm: if self.norm.is_some() {
                let row = || Buffer::new(self.blocks * self.lanes);
                NormTape {
                    input: NormRows::new(self, rows),
                    recurrent: NormRows::new(self, rows),
                    memory: rows_if(norm_memory, 0, rows, hidden),
                    memory_scale: Buffer::new(if norm_memory { rows } else { 0 }),
                    seen: rows_if(norm_memory, 0, rows, hidden),
                    d_memory: [row(), row()],
                }
            } else {
                NormTape::default()
            },
            attend: self.attend.as_ref().map_or_else(AttendTape::default, |attend| attend.tape(batch, rows)),
            rounded: Default::default(),
        }
    }
}
