//! Layer normalisation inside a recurrent layer: of its products, gates together as the cell has them, and of
//! its memory. See [`crate::program::Recurrence`].

use super::super::calls::{Calls, words};
use super::super::context::Context;
use super::super::kernel::GRID;
use super::super::product::{Matrix, sum_products, sum_rows};
use super::super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::NORM_EPS;

/// Numbers of every step that are normalised, (R, width), group of columns by group.
pub(super) struct Normed {
    /// First what is to be normalised, then (x − mean) / √(variance + eps).
    pub n: wgpu::Buffer,
    /// 1 / √(variance + eps), group by group (R).
    scales: wgpu::Buffer,
    /// The gradient of what was normalised.
    pub d: wgpu::Buffer,
    pub width: usize,
    total: usize,
    gain: ParamId,
    bias: Option<ParamId>,
}

/// Columns that are normalised together, of some rows.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// Which of the groups it is.
    pub number: usize,
    /// Its first column, and how many.
    pub column: usize,
    pub width: usize,
    /// Its first row, and how many.
    pub first: usize,
    pub rows: usize,
}

impl Normed {
    /// `groups` of them, `kept` where their gradient stays for a sum over all steps.
    pub fn new(
        r: &Recorder<'_>,
        name: &str,
        [width, groups]: [usize; 2],
        [gain, bias]: [Option<ParamId>; 2],
        kept: bool,
    ) -> Result<Option<Self>> {
        let Some(gain) = gain else { return Ok(None) };
        let total = r.steps() * r.batch();
        let of_gradient = if kept { total } else { r.batch() };
        let of_gradient = if r.signature.learns { of_gradient } else { 0 };
        let n = r.buffer(&format!("normalised {name}"), total * width)?;
        let scales = r.buffer(&format!("scales of {name}"), groups * total)?;
        let d = r.buffer(&format!("gradient of {name}"), of_gradient * width)?;
        Ok(Some(Self { n, scales, d, width, total, gain, bias }))
    }

    fn grid(rows: usize) -> [usize; 3] {
        [rows.min(GRID), rows.div_ceil(GRID), 1]
    }

    /// Where a group starts in all rows.
    fn at(&self, group: Group) -> usize {
        group.first * self.width + group.column
    }

    /// y (+)= N(n) ⊙ gain + bias, with the first of its numbers at `y.at`; n becomes N(n).
    pub fn forward(&self, r: &Recorder<'_>, calls: &mut Calls, group: Group, y: Matrix<'_>, add: bool) {
        let kernel = r.context().kernel("normalise group", NORMALISE);
        let bias = self.bias.map_or(u32::MAX, |id| (r.at(id) + group.column) as u32);
        let numbers = words![
            group.rows,
            group.width,
            NORM_EPS,
            self.at(group),
            self.width,
            group.number * self.total + group.first,
            r.at(self.gain) + group.column,
            bias,
            y.at,
            y.rows,
            add,
        ];
        calls.add(
            &kernel,
            &[&r.net.values, &self.n, &self.scales, y.buffer],
            numbers,
            Self::grid(group.rows),
        );
    }

    /// The gradient of N's argument from that of y, both with their first numbers at `at`.
    pub fn backward(&self, r: &Recorder<'_>, calls: &mut Calls, group: Group, d: Matrix<'_>, dx: Matrix<'_>) {
        let kernel = r.context().kernel("normalise group backward", NORMALISE_BACKWARD);
        let numbers = words![
            group.rows,
            group.width,
            d.at,
            d.rows,
            r.at(self.gain) + group.column,
            self.at(group),
            self.width,
            group.number * self.total + group.first,
            dx.at,
            dx.rows,
        ];
        let buffers = [&r.net.values, d.buffer, &self.n, &self.scales, dx.buffer];
        calls.add(&kernel, &buffers, numbers, Self::grid(group.rows));
    }

    /// d gain += Σ d ⊙ n over all rows of these columns; and where `shifts`, d bias += Σ d.
    pub fn weights_backward(
        &self,
        context: &Context,
        r: &Recorder<'_>,
        calls: &mut Calls,
        [column, width]: [usize; 2],
        d: Matrix<'_>,
        shifts: bool,
    ) -> Result<()> {
        let (size, gradient) = ([self.total, width], &r.shared.gradient);
        let n = Matrix::new(&self.n, column, self.width);
        sum_products(context, calls, size, d, n, (gradient, r.at(self.gain) + column))?;
        if let Some(id) = self.bias.filter(|_| shifts) {
            sum_rows(context, calls, size, d, (gradient, r.at(id) + column))?;
        }
        Ok(())
    }
}

const NORMALISE: &str =
    concat!(include_str!("../wgsl/fold.wgsl"), include_str!("../wgsl/normalise_group.wgsl"));
const NORMALISE_BACKWARD: &str =
    concat!(include_str!("../wgsl/fold.wgsl"), include_str!("../wgsl/normalise_group_backward.wgsl"));
