//! y = x Wᵀ + b.

use super::calls::Calls;
use super::product::{Matrix, product, sum_rows};
use super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::SlotId;

pub(super) fn record(
    r: &mut Recorder<'_>,
    input: SlotId,
    weight: ParamId,
    bias: Option<ParamId>,
    out: SlotId,
) -> Result<()> {
    let (context, rows) = (r.context(), r.places(input));
    let [inputs, outputs] = [input, out].map(|slot| r.width(slot));
    let (x, y) = (r.slot(input), r.slot(out));
    let (values, gradient) = (&r.net.values, &r.shared.gradient);
    let w = Matrix::new(values, r.at(weight), inputs);
    let b = bias.map(|id| (values, r.at(id)));
    let (x, y) = (Matrix::new(&x, 0, inputs), Matrix::new(&y, 0, outputs));
    product(context, &mut r.forward, [rows, outputs, inputs], x, w.t(), b, y, false)?;

    // dx = dy W, dW = dyᵀ x, db = Σ dy.
    let mut back = Calls::default();
    if r.signature.learns {
        let (dx, dy) = (r.d_slot(input), r.d_slot(out));
        let (dx, dy) = (Matrix::new(&dx, 0, inputs), Matrix::new(&dy, 0, outputs));
        let dw = Matrix::new(gradient, r.at(weight), inputs);
        product(context, &mut back, [rows, inputs, outputs], dy, w, None, dx, r.adds_to(input))?;
        product(context, &mut back, [outputs, inputs, rows], dy.t(), x, None, dw, true)?;
        if let Some(id) = bias {
            sum_rows(context, &mut back, [rows, outputs], dy, (gradient, r.at(id)))?;
        }
    }
    r.back(back);
    Ok(())
}
