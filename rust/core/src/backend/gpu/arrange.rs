//! Numbers put elsewhere: rows reversed, slots side by side or added up.

use super::calls::{Calls, words};
use super::copies::scaled;
use super::kernel::over;
use super::product::Matrix;
use super::recording::Recorder;
use crate::error::Result;
use crate::program::SlotId;

/// Each row's counted steps in reverse order. Tokens come to the device reversed: see [`super::tokens`].
pub(super) fn reverse(r: &mut Recorder<'_>, input: SlotId, out: SlotId) -> Result<()> {
    if r.has_tokens(input) {
        return Ok(());
    }
    let (context, width, len) = (r.context(), r.width(input), r.places(input) * r.width(input));
    let kernel = context.kernel("reverse", include_str!("wgsl/reverse.wgsl"));
    let numbers = |add: bool| *words![len, width, r.batch(), add];
    let (forward, backward) = (numbers(false), numbers(r.adds_to(input)));
    let lengths = &r.shared.lengths;
    r.forward.add(&kernel, &[&r.slot(input), lengths, &r.slot(out)], &forward, over(len));

    // Turned round twice a row is as it was.
    let mut back = Calls::default();
    back.add(&kernel, &[&r.d_slot(out), lengths, &r.d_slot(input)], &backward, over(len));
    r.back(back);
    Ok(())
}

/// Two slots side by side.
pub(super) fn concat(r: &mut Recorder<'_>, inputs: [SlotId; 2], out: SlotId) -> Result<()> {
    let (context, rows, width) = (r.context(), r.places(out), r.width(out));
    let (y, dy) = (r.slot(out), r.d_slot(out));
    let mut back = Calls::default();
    for (i, input) in inputs.into_iter().enumerate() {
        let columns = r.width(input);
        let start = if i == 0 { 0 } else { r.width(inputs[0]) };
        let (x, dx) = (r.slot(input), r.d_slot(input));
        let part = |buffer| Matrix::new(buffer, start, width);
        let own = |buffer| Matrix::new(buffer, 0, columns);
        scaled(context, &mut r.forward, [rows, columns], own(&x), 1.0, part(&y), false);
        let add = r.adds_to(input) || input == inputs[0] && i == 1;
        scaled(context, &mut back, [rows, columns], part(&dy), 1.0, own(&dx), add);
    }
    r.back(back);
    Ok(())
}

/// y = (a + b) · scale.
pub(super) fn sum(r: &mut Recorder<'_>, inputs: [SlotId; 2], scale: f64, out: SlotId) -> Result<()> {
    let (context, size, width) = (r.context(), [r.places(out), r.width(out)], r.width(out));
    let mut back = Calls::default();
    let (y, dy) = (r.slot(out), r.d_slot(out));
    for (i, input) in inputs.into_iter().enumerate() {
        let (x, dx) = (r.slot(input), r.d_slot(input));
        let [x, y, dx, dy] = [&x, &y, &dx, &dy].map(|buffer| Matrix::new(buffer, 0, width));
        scaled(context, &mut r.forward, size, x, scale, y, i == 1);
        let add = r.adds_to(input) || input == inputs[0] && i == 1;
        scaled(context, &mut back, size, dy, scale, dx, add);
    }
    r.back(back);
    Ok(())
}
