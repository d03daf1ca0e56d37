//! Products of matrices, and sums over rows. Long sums are cut into parts of fixed length that are added in
//! their order: the same bits every time, and no loop longer than a software device can run.

use super::calls::{Calls, words};
use super::context::Context;
use super::kernel::{Kernel, THREADS, over};
use crate::error::Result;
use std::sync::Arc;

/// Rows and columns of a tile of the product.
pub(super) const TILE: usize = 64;
/// Terms of a sum that one workgroup adds, at most.
const CHUNK: usize = 4096;
/// Workgroups of a product below which its sums are cut further, and the fewest terms of a part then.
const BUSY: usize = 256;
const SHORT: usize = 256;

/// A matrix somewhere in a buffer: a number is at `at + row · rows + column · columns`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub at: usize,
    /// From one row to the next.
    pub rows: usize,
    /// From one column to the next.
    pub columns: usize,
}

impl<'a> Matrix<'a> {
    /// Row by row, `width` numbers apart.
    pub fn new(buffer: &'a wgpu::Buffer, at: usize, width: usize) -> Self {
        Self { buffer, at, rows: width, columns: 1 }
    }

    /// Its transpose.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }
}

/// Those of C (+)= A B + bias, with A (m, k), B (k, n), and C row by row; the bias is somewhere in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub a: Matrix<'a>,
    pub b: Matrix<'a>,
    pub bias: Option<(&'a wgpu::Buffer, usize)>,
    pub c: Matrix<'a>,
}

/// How far a number of the last of something is from that of the first, for a kernel to add.
pub(super) fn apart<T>(all: &[T], of: impl Fn(&T) -> usize) -> u32 {
    let (first, last) = (all.first().map_or(0, &of), all.last().map_or(0, &of));
    (last as u32).wrapping_sub(first as u32)
}

/// Into how many parts a product's sum is cut, and the terms of each.
fn cut([m, n, k]: [usize; 3]) -> [usize; 2] {
    let tiles = m.div_ceil(TILE) * n.div_ceil(TILE);
    let parts = k.div_ceil(CHUNK).max((BUSY / tiles.max(1)).min(k / SHORT)).max(1);
    let chunk = k.div_ceil(parts).next_multiple_of(16).max(16);
    [k.div_ceil(chunk).max(1), chunk]
}

/// Numbers of the scratch that [`products_in`] needs for each product.
pub(super) fn scratch_len(size: [usize; 3]) -> usize {
    let [parts, _] = cut(size);
    if parts > 1 { parts * size[0] * size[1] } else { 0 }
}

/// C (+)= A B + bias, with A (m, k), B (k, n), and C row by row.
pub(super) fn product(
    context: &Context,
    calls: &mut Calls,
    size: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<(&wgpu::Buffer, usize)>,
    c: Matrix<'_>,
    add: bool,
) -> Result<()> {
    let scratch = context.buffer("parts of a product", scratch_len(size))?;
    products_in(context, calls, &scratch, size, &[Operands { a, b, bias, c }], add);
    Ok(())
}

/// The same with scratch that other products share: those of a layer's steps.
pub(super) fn product_in(
    context: &Context,
    calls: &mut Calls,
    scratch: &wgpu::Buffer,
    size: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: Matrix<'_>,
    add: bool,
) {
    products_in(context, calls, scratch, size, &[Operands { a, b, bias: None, c }], add);
}

/// The same of one product, or of two whose operands are in the same buffers: the scratch is of both then.
pub(super) fn products_in(
    context: &Context,
    calls: &mut Calls,
    scratch: &wgpu::Buffer,
    [m, n, k]: [usize; 3],
    products: &[Operands<'_>],
    add: bool,
) {
    let Some(&Operands { a, b, bias, c }) = products.first() else { return };
    let [parts, chunk] = cut([m, n, k]);
    let kernel = context.kernel("gemm", include_str!("wgsl/gemm.wgsl"));
    let grid = [m.div_ceil(TILE), n.div_ceil(TILE), parts * products.len()];
    let bias_at = bias.map_or(u32::MAX, |(_, at)| at as u32);
    let bias = bias.map_or(b.buffer, |(buffer, _)| buffer);
    let (a_other, b_other) = (apart(products, |one| one.a.at), apart(products, |one| one.b.at));
    let c_other = apart(products, |one| one.c.at);
    let bias_other = apart(products, |one| one.bias.map_or(0, |(_, at)| at));
    let mut call = |out: Matrix<'_>, part: usize, other: u32, bias_at: u32, add: bool| {
        let numbers = words![
            m, n, k, chunk, a.at, a.rows, a.columns, b.at, b.rows, b.columns, out.at, out.rows, part,
            bias_at, add, parts, a_other, b_other, other, bias_other
        ];
        calls.add(&kernel, &[a.buffer, b.buffer, bias, out.buffer], numbers, grid);
    };
    if parts == 1 {
        return call(c, 0, c_other, bias_at, add);
    }
    call(Matrix::new(scratch, 0, n), m * n, (parts * m * n) as u32, u32::MAX, false);
    let sum = context.kernel("sum_parts", include_str!("wgsl/sum_parts.wgsl"));
    let numbers = words![m, n, parts, c.at, c.rows, add, bias_at, c_other, bias_other];
    let [x, y, _] = over(m * n);
    calls.add(&sum, &[scratch, bias, c.buffer], numbers, [x, y, products.len()]);
}

/// out += the sum over `rows` rows of each of `columns` columns of x.
pub(super) fn sum_rows(
    context: &Context,
    calls: &mut Calls,
    size: [usize; 2],
    x: Matrix<'_>,
    out: (&wgpu::Buffer, usize),
) -> Result<()> {
    let kernel = context.kernel("sum_rows", include_str!("wgsl/sum_rows.wgsl"));
    sum_in_parts(context, calls, &kernel, size, &[x], out)
}

/// The same of x ⊙ y.
pub(super) fn sum_products(
    context: &Context,
    calls: &mut Calls,
    size: [usize; 2],
    x: Matrix<'_>,
    y: Matrix<'_>,
    out: (&wgpu::Buffer, usize),
) -> Result<()> {
    let kernel = context.kernel("sum_products", include_str!("wgsl/sum_products.wgsl"));
    sum_in_parts(context, calls, &kernel, size, &[x, y], out)
}

fn sum_in_parts(
    context: &Context,
    calls: &mut Calls,
    kernel: &Arc<Kernel>,
    [rows, columns]: [usize; 2],
    terms: &[Matrix<'_>],
    (out, at): (&wgpu::Buffer, usize),
) -> Result<()> {
    let parts = rows.div_ceil(SHORT).max(1);
    let chunk = rows.div_ceil(parts).max(1);
    let scratch = context.buffer("parts of a sum", parts * columns)?;
    let mut buffers: Vec<_> = terms.iter().map(|x| x.buffer).collect();
    buffers.push(&scratch);
    let mut numbers = words![rows, columns, chunk].to_vec();
    terms.iter().for_each(|x| numbers.extend(words![x.at, x.rows]));
    calls.add(kernel, &buffers, &numbers, [columns.div_ceil(THREADS), parts, 1]);
    let sum = context.kernel("sum_parts", include_str!("wgsl/sum_parts.wgsl"));
    let numbers = words![1usize, columns, parts, at, columns, true, u32::MAX];
    calls.add(&sum, &[&scratch, &scratch, out], numbers, over(columns));
    Ok(())
}
