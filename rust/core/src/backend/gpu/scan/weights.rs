//! The recurrent weights of a layer as its kernels read them, and their gradients.

use super::super::calls::{Calls, words};
use super::super::kernel::over;
use super::super::product::{Matrix, product, sum_rows};
use super::super::recording::Recorder;
use super::Layer;
use super::texts;
use crate::cells::Operand;
use crate::error::Result;
use crate::program::Recurrence;
use crate::rng::Kind;

/// Weights for the length of a run.
pub(super) struct Weights {
    /// The transpose of `weight_hh` under its mask, (H, G · H): neighbouring units side by side.
    pub hh_t: wgpu::Buffer,
    /// That of the full peepholes' weight, (H, gates · H).
    pub ch_t: wgpu::Buffer,
    /// `weight_hh` under its mask, where it has one; and the gradient of that.
    masked: Option<[wgpu::Buffer; 2]>,
}

/// Rows and columns of `weight_hh`.
fn size(scan: &Recurrence) -> [usize; 2] {
    [scan.cell.layout().gates * scan.hidden, scan.width]
}

impl Weights {
    pub fn new(r: &Recorder<'_>, scan: &Recurrence) -> Result<Self> {
        let len = scan.weights.hh.map_or(0, |_| size(scan).iter().product());
        let full = scan.cell.layout().products.iter().any(|product| product.operand == Operand::C);
        let ch = if full { (scan.cell.layout().gates - 1) * scan.hidden * scan.hidden } else { 0 };
        let masked = if r.signature.learns && scan.noise.weights > 0.0 {
            Some([r.buffer("masked weights", len)?, r.buffer("gradient of masked weights", len)?])
        } else {
            None
        };
        Ok(Self {
            hh_t: r.buffer("transposed weights", len)?,
            ch_t: r.buffer("transposed peepholes", ch)?,
            masked,
        })
    }

    /// The buffer that has `weight_hh`, and where in it.
    pub fn hh<'a>(&'a self, r: &'a Recorder<'_>) -> &'a wgpu::Buffer {
        self.masked.as_ref().map_or(&r.net.values, |[weights, _]| weights)
    }

    pub fn hh_at(&self, r: &Recorder<'_>, scan: &Recurrence) -> u32 {
        if self.masked.is_some() { 0 } else { Layer::at(r, scan.weights.hh) }
    }

    /// The numbers of [`Weights::mask`]'s draws.
    fn draws(scan: &Recurrence) -> [u32; 3] {
        let p = scan.noise.weights;
        let limit = ((1.0 - p) * f64::from(1 << 24)).ceil() as u32;
        *words![(Kind::WeightDropout as u32) << 24 | scan.layer as u32, limit, 1.0 / (1.0 - p)]
    }

    /// Makes them anew from the network's: at the start of every run.
    pub fn forward(&self, r: &mut Recorder<'_>, scan: &Recurrence) {
        let (context, [rows, columns]) = (r.context(), size(scan));
        let transpose = context.kernel("transpose", include_str!("../wgsl/transpose.wgsl"));
        let grid = |rows: usize, columns: usize| [columns.div_ceil(16), rows.div_ceil(16), 1];
        if let Some(id) = scan.weights.hh {
            let at = r.at(id);
            if let Some([masked, _]) = &self.masked {
                let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
                let [site, limit, scale] = Self::draws(scan);
                let numbers = words![rows, columns, at, 0u32, site, limit, scale, false];
                r.forward.add(&kernel, &[&r.net.values, masked], numbers, over(rows * columns));
            }
            let numbers = words![rows, columns, self.hh_at(r, scan), 0u32];
            let buffers = [self.hh(r), &self.hh_t].map(Clone::clone);
            r.forward.add(&transpose, &buffers.each_ref(), numbers, grid(rows, columns));
        }
        let full = scan.cell.layout().products.iter().any(|product| product.operand == Operand::C);
        if let Some(id) = scan.weights.ch.filter(|_| full) {
            let (rows, columns) = (rows - scan.hidden, scan.hidden);
            let numbers = words![rows, columns, r.at(id), 0u32];
            r.forward.add(&transpose, &[&r.net.values, &self.ch_t], numbers, grid(rows, columns));
        }
    }

    /// dW = dzᵀ · what each product multiplied, and the biases' sums of dz.
    pub fn backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls) -> Result<()> {
        let (context, scan, gradient) = (r.context(), layer.scan, &r.shared.gradient);
        let (rows, h, [width, _]) = (layer.rows(r), scan.hidden, layer.widths());
        let dz = |column: usize| Matrix::new(&layer.tape.z, column * h, width);
        for one in layer.layout.products {
            let x = layer.operand(one.operand);
            let full = one.operand == Operand::C;
            let (to, at) = match (&self.masked, full) {
                (_, true) => (gradient, Layer::at(r, scan.weights.ch) as usize),
                (Some([_, masked]), false) => (masked, 0),
                (None, false) => (gradient, Layer::at(r, scan.weights.hh) as usize),
            };
            for [gate, column, blocks] in texts::runs(&layer.layout, one) {
                let dw = Matrix::new(to, at + gate * h * x.rows, x.rows);
                let add = full || self.masked.is_none();
                product(context, back, [blocks * h, x.rows, rows], dz(column).t(), x, None, dw, add)?;
                if let Some(id) = scan.weights.bias_hh.filter(|_| !full) {
                    sum_rows(context, back, [rows, blocks * h], dz(column), (gradient, r.at(id) + gate * h))?;
                }
            }
        }
        if let (Some([_, masked]), Some(id)) = (&self.masked, scan.weights.hh) {
            let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
            let ([site, limit, scale], [rows, columns]) = (Self::draws(scan), size(scan));
            let numbers = words![rows, columns, 0u32, r.at(id), site, limit, scale, true];
            back.add(&kernel, &[masked, gradient], numbers, over(rows * columns));
        }
        if let Some(id) = scan.weights.ch.filter(|_| !layer.layout.peepholes.is_empty()) {
            for k in 0..layer.layout.peepholes.len() {
                let d = Matrix::new(&layer.tape.d_peephole, k * r.batch() * h, h);
                sum_rows(context, back, [r.batch(), h], d, (gradient, r.at(id) + k * h))?;
            }
        }
        Ok(())
    }
}
