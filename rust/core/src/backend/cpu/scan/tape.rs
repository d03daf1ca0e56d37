//! How large the tape of a layer is.

use super::super::math::Elementary;
use super::super::scratch::{Buffer, Rows};
use super::super::tape::{AttendTape, NoiseTape, NormRows, NormTape, Tape};
use super::Scan;

impl<T: Elementary> Scan<T> {
    /// Room for one of its normalised products, for `rows` rows.
    pub(in super::super) fn norm_rows(&self, rows: usize) -> NormRows<T> {
        let size = self.blocks * self.line();
        NormRows {
            x: Buffer::new(size * rows),
            scale: Buffer::new(rows * self.layout.norms.len()),
            d_gain: Buffer::new(size),
        }
    }

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
                    input: self.norm_rows(rows),
                    recurrent: self.norm_rows(rows),
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
