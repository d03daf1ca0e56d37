//! Vectors of tokens.

use super::calls::Calls;
use super::product::Matrix;
use super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::SlotId;

/// y = table[token] · mask[token], 0 for token −1.
pub(super) fn record(
    r: &mut Recorder<'_>,
    slot: SlotId,
    table: ParamId,
    dropout: f64,
    out: SlotId,
) -> Result<()> {
    let (context, width, tokens) = (r.context(), r.width(out), r.tokens(slot)?);
    let dropout = if r.signature.learns { dropout } else { 0.0 };
    let at = r.at(table);
    let rows = Matrix::new(&r.net.values, at, width);
    let y = r.slot(out);
    let y = Matrix::new(&y, 0, width);
    tokens.gather(context, &mut r.forward, width, rows, None, y, false, dropout);

    // The row of each token += Σ dy · mask over its places.
    let mut back = Calls::default();
    if r.signature.learns {
        let (dy, rows) = (r.d_slot(out), Matrix::new(&r.shared.gradient, at, width));
        tokens.scatter(context, &mut back, width, Matrix::new(&dy, 0, width), rows, dropout)?;
    }
    r.back(back);
    Ok(())
}
