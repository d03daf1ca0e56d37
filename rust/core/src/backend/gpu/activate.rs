//! y = f(x), number by number.

use super::calls::{Calls, words};
use super::kernel::over;
use super::recording::Recorder;
use super::symbol::{Symbol, traced};
use crate::cells::{Activation, Nonlinear};
use crate::error::Result;
use crate::program::SlotId;

pub(super) fn record(r: &mut Recorder<'_>, input: SlotId, activation: Activation, out: SlotId) -> Result<()> {
    let (context, n) = (r.context(), r.places(input) * r.width(input));
    let kernel = context.kernel("activate", &forward(activation));
    r.forward.add(&kernel, &[&r.slot(input), &r.slot(out)], words![n], over(n));

    let mut back = Calls::default();
    let kernel = context.kernel("activate backward", &backward(activation));
    let buffers = [r.slot(out), r.d_slot(out), r.d_slot(input)];
    back.add(&kernel, &buffers.each_ref(), words![n, r.adds_to(input)], over(n));
    r.back(back);
    Ok(())
}

/// The kernel of y = f(x).
pub(super) fn forward(activation: Activation) -> String {
    let (text, y) = traced(|| vec![activation.apply(Symbol::named("x[i]"))]);
    include_str!("wgsl/activate.wgsl").replace("/*statements*/", &format!("{text}    y[i] = {};", y[0]))
}

/// The kernel of dx (+)= dy f′(x).
pub(super) fn backward(activation: Activation) -> String {
    let (text, slope) = traced(|| vec![activation.slope(Symbol::named("y[i]"))]);
    let statements = format!("{text}    let slope = {};", slope[0]);
    include_str!("wgsl/activate_backward.wgsl").replace("/*statements*/", &statements)
}
