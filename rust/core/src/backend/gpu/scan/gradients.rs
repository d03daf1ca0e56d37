//! The gradients of a layer's recurrent weights, over all steps of a segment.

use super::super::calls::{Calls, words};
use super::super::kernel::over;
use super::super::product::{Matrix, product, sum_rows};
use super::super::recording::Recorder;
use super::composed::Composed;
use super::layer::Layer;
use super::texts;
use super::weights::{Weights, at, size};
use crate::cells::Operand;
use crate::error::Result;

/// Of one direction dW = dzᵀ · what each product multiplied, and the biases' sums of dz.
pub(super) fn weights_backward(
    r: &Recorder<'_>,
    layer: &Layer<'_>,
    composed: Option<&Composed>,
    back: &mut Calls,
    direction: usize,
) -> Result<()> {
    let masked = layer.weights.masked.as_ref();
    let (context, scan, gradient) = (r.context(), layer.scans[direction], &r.shared.gradient);
    let (rows, h, [all, columns]) = (layer.rows, scan.hidden, size(scan));
    let masked_at = direction * all * columns;
    for one in layer.layout.products {
        let x = layer.operand(one.operand, direction);
        let full = one.operand == Operand::C;
        let (to, first) = match (masked, full) {
            (_, true) => (gradient, at(r, scan.weights.ch) as usize),
            (Some([_, masked]), false) => (masked, masked_at),
            (None, false) => (gradient, at(r, scan.weights.hh) as usize),
        };
        for [gate, column, blocks] in texts::runs(&layer.layout, one) {
            let dz = layer.z(direction, column * h);
            let dw = Matrix::new(to, first + gate * h * x.rows, x.rows);
            let add = full || masked.is_none();
            let d = composed
                .map_or(dz, |composed| composed.d_product(layer, one.operand, direction, [gate, column]));
            product(context, back, [blocks * h, x.rows, rows], d.t(), x, None, dw, add)?;
            if let Some(id) = scan.weights.bias_hh.filter(|_| !full) {
                sum_rows(context, back, [rows, blocks * h], dz, (gradient, r.at(id) + gate * h))?;
            }
        }
    }
    if let (Some([_, masked]), Some(id)) = (masked, scan.weights.hh) {
        let kernel = context.kernel("mask rows", include_str!("../wgsl/mask_rows.wgsl"));
        let [site, limit, scale] = Weights::draws(scan);
        let numbers = words![all, columns, masked_at, r.at(id), site, limit, scale, true];
        back.add(&kernel, &[masked, gradient], numbers, over(all * columns));
    }
    let peepholes = layer.layout.peepholes.len();
    if let Some(id) = scan.weights.ch {
        for k in 0..peepholes {
            let from = (direction * peepholes + k) * layer.batch * h;
            let d = Matrix::new(&layer.tape.d_peephole, from, h);
            sum_rows(context, back, [layer.batch, h], d, (gradient, r.at(id) + k * h))?;
        }
    }
    Ok(())
}
