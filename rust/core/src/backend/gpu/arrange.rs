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
    let kernel = r.context().kernel("reverse", include_str!("wgsl/reverse.wgsl"));
    let (lengths, segments) = (&r.shared.lengths, r.segments.clone());
    r.each_segment(|r| {
        let (width, batch, to) = (r.width(input), r.batch(), r.segment);
        let len = r.places(input) * width;
        let mut back = Calls::default();
        // Where the lengths of rows differ, a segment may have steps of any.
        for from in &segments {
            let numbers = |add: bool| *words![len, width, batch, to.first, from.first, from.steps, add];
            let later = from.number > 0;
            let buffers = [&r.slot_in(from.number, input), lengths, &r.slot(out)];
            r.forward.add(&kernel, &buffers, &numbers(later), over(len));
            // Turned round twice a row is as it was.
            let buffers = [&r.d_slot_in(from.number, out), lengths, &r.d_slot(input)];
            back.add(&kernel, &buffers, &numbers(later || r.adds_to(input)), over(len));
        }
        r.back(back);
        Ok(())
    })
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
