//! Numbers of one buffer put into another, and zeros.

use super::calls::{Calls, words};
use super::context::Context;
use super::kernel::over;
use super::product::Matrix;

/// Zeros in numbers `from` to `from + len` of a buffer.
pub(super) fn fill(context: &Context, calls: &mut Calls, buffer: &wgpu::Buffer, from: usize, len: usize) {
    let kernel = context.kernel("fill", include_str!("wgsl/fill.wgsl"));
    calls.add(&kernel, &[buffer], words![len, from], over(len));
}

/// Copies `len` numbers from one buffer to another.
pub(super) fn copy(
    context: &Context,
    calls: &mut Calls,
    [from, to]: [&wgpu::Buffer; 2],
    [from_at, to_at]: [usize; 2],
    len: usize,
) {
    let kernel = context.kernel("copy", include_str!("wgsl/copy.wgsl"));
    calls.add(&kernel, &[from, to], words![len, from_at, to_at], over(len));
}

/// y (+)= x · scale for rows and columns of two matrices.
pub(super) fn scaled(
    context: &Context,
    calls: &mut Calls,
    [rows, columns]: [usize; 2],
    x: Matrix<'_>,
    scale: f64,
    y: Matrix<'_>,
    add: bool,
) {
    let kernel = context.kernel("scaled", include_str!("wgsl/scaled.wgsl"));
    let numbers = words![rows, columns, x.at, x.rows, x.columns, y.at, y.rows, y.columns, scale, add];
    calls.add(&kernel, &[x.buffer, y.buffer], numbers, over(rows * columns));
}
