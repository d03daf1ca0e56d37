//! The recurrent weights of a layer as its kernels read them.

use super::super::calls::words;
use super::super::kernel::over;
use super::super::product::Matrix;
use super::super::recording::Recorder;
use crate::cells::Operand;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::Recurrence;
use crate::rng::Kind;

/// Weights for the length of a run: of one direction, then of the other.
pub(super) struct Weights {
    /// The transpose of `weight_hh` under its mask, (H, G · H): neighbouring units side by side.
    pub hh_t: wgpu::Buffer,
    /// That of the full peepholes' weight, (H, gates · H).
    pub ch_t: wgpu::Buffer,
    /// `weight_hh` under its mask, where it has one; and the gradient of that.
    pub masked: Option<[wgpu::Buffer; 2]>,
}

/// Rows and columns of `weight_hh`; none where the layer has none.
pub(super) fn size(scan: &Recurrence) -> [usize; 2] {
    [scan.weights.hh.map_or(0, |_| scan.cell.layout().gates * scan.hidden), scan.width]
}

/// The same of the full peepholes' weight.
fn full_size(scan: &Recurrence) -> [usize; 2] {
    let layout = scan.cell.layout();
    let full = layout.products.iter().any(|product| product.operand == Operand::C);
    [if full { (layout.gates - 1) * scan.hidden } else { 0 }, scan.hidden]
}

fn numbers([rows, columns]: [usize; 2]) -> usize {
    rows * columns
}

impl Weights {
    pub fn new(r: &Recorder<'_>, scans: &[&Recurrence]) -> Result<Self> {
        let buffer = |name: &str, size: [usize; 2]| r.buffer(name, scans.len() * numbers(size));
        let hh = size(scans[0]);
        let masked = if r.signature.learns && scans[0].noise.weights > 0.0 {
            Some([buffer("masked weights", hh)?, buffer("gradient of masked weights", hh)?])
        } else {
            None
        };
        let ch_t = buffer("transposed peepholes", full_size(scans[0]))?;
        Ok(Self { hh_t: buffer("transposed weights", hh)?, ch_t, masked })
    }

    /// The buffer that has `weight_hh`.
    pub fn hh<'a>(&'a self, r: &'a Recorder<'_>) -> &'a wgpu::Buffer {
        self.masked.as_ref().map_or(&r.net.values, |[weights, _]| weights)
    }

    /// Where in it those of each direction are.
    pub fn hh_at(&self, r: &Recorder<'_>, scans: &[&Recurrence]) -> [u32; 2] {
        match self.masked {
            Some(_) => [0, numbers(size(scans[0])) as u32],
            None => [0, scans.len() - 1].map(|direction| at(r, scans[direction].weights.hh)),
        }
    }

    /// The transpose of a direction's weights of a product, from some gate on.
    pub fn transposed(&self, scan: &Recurrence, full: bool, direction: usize, gate: usize) -> Matrix<'_> {
        let (weights, size) = if full { (&self.ch_t, full_size(scan)) } else { (&self.hh_t, size(scan)) };
        Matrix::new(weights, direction * numbers(size) + gate * scan.hidden, size[0])
    }

    /// The numbers of the masks' draws.
    pub fn draws(scan: &Recurrence) -> [u32; 3] {
        let p = scan.noise.weights;
        let limit = ((1.0 - p) * f64::from(1 << 24)).ceil() as u32;
        *words![(Kind::WeightDropout as u32) << 24 | scan.layer as u32, limit, 1.0 / (1.0 - p)]
    }

    /// Makes them anew from the network's: at the start of every run.
    pub fn forward(&self, r: &mut Recorder<'_>, scans: &[&Recurrence]) {
        let context = r.context();
        let transpose = context.kernel("transpose", include_str!("../wgsl/transpose.wgsl"));
        let grid = |[rows, columns]: [usize; 2]| [columns.div_ceil(16), rows.div_ceil(16), 1];
        for (direction, scan) in scans.iter().enumerate() {
            let (hh, [rows, columns]) = (numbers(size(scan)), size(scan));
            let to = direction * hh;
            if let (Some([masked, _]), Some(id)) = (&self.masked, scan.weights.hh) {
                let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
                let [site, limit, scale] = Self::draws(scan);
                let numbers = words![rows, columns, r.at(id), to, site, limit, scale, false];
                r.forward.add(&kernel, &[&r.net.values, masked], numbers, over(hh));
            }
            let first = self.hh_at(r, scans)[direction];
            let (hh, hh_t) = (self.hh(r).clone(), &self.hh_t);
            r.forward.add(&transpose, &[&hh, hh_t], words![rows, columns, first, to], grid([rows, columns]));
            let [rows, columns] = full_size(scan);
            let numbers = words![rows, columns, at(r, scan.weights.ch), direction * rows * columns];
            r.forward.add(&transpose, &[&r.net.values, &self.ch_t], numbers, grid([rows, columns]));
        }
    }
}

/// The place of a parameter; NONE for one that a layer lacks.
pub(super) fn at(r: &Recorder<'_>, id: Option<ParamId>) -> u32 {
    id.map_or(u32::MAX, |id| r.at(id) as u32)
}
