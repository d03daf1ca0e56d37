//! Layer normalisation inside a recurrent layer: of its products, gates together as the cell has them, and of
//! its memory. See [`crate::program::Recurrence`].

use super::super::calls::{Calls, words};
use super::super::kernel::GRID;
use super::super::product::{Matrix, apart, sum_products, sum_rows};
use super::super::recording::Recorder;
use crate::error::Result;
use crate::params::ParamId;
use crate::program::NORM_EPS;

/// Numbers of every step that are normalised, (R, width), group of columns by group; of one direction, then of
/// the other.
pub(super) struct Normed {
    /// First what is to be normalised, then (x − mean) / √(variance + eps).
    pub n: wgpu::Buffer,
    /// 1 / √(variance + eps), group by group (R); of one direction, then of the other.
    scales: wgpu::Buffer,
    /// The gradient of what was normalised.
    pub d: wgpu::Buffer,
    pub width: usize,
    groups: usize,
    total: usize,
    /// Of each direction.
    gains: Vec<ParamId>,
    biases: Vec<Option<ParamId>>,
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
    /// `groups` of them, with the gain and the bias of each direction, `kept` where their gradient stays for a
    /// sum over all steps.
    pub fn new(
        r: &Recorder<'_>,
        name: &str,
        [width, groups]: [usize; 2],
        weights: &[[Option<ParamId>; 2]],
        kept: bool,
    ) -> Result<Option<Self>> {
        let gains: Vec<_> = weights.iter().filter_map(|[gain, _]| *gain).collect();
        let biases = weights.iter().map(|[_, bias]| *bias).collect();
        if gains.is_empty() {
            return Ok(None);
        }
        let all = gains.len();
        let total = r.steps() * r.batch();
        let of_gradient = if kept { total } else { r.batch() };
        let of_gradient = if r.signature.learns { of_gradient } else { 0 };
        let n = r.buffer(&format!("normalised {name}"), all * total * width)?;
        let scales = r.buffer(&format!("scales of {name}"), all * groups * total)?;
        let d = r.buffer(&format!("gradient of {name}"), all * of_gradient * width)?;
        Ok(Some(Self { n, scales, d, width, groups, total, gains, biases }))
    }

    fn grid(&self, rows: usize) -> [usize; 3] {
        [rows.min(GRID), rows.div_ceil(GRID), self.gains.len()]
    }

    /// What is normalised in a direction, from some column on.
    pub fn n(&self, direction: usize, column: usize) -> Matrix<'_> {
        Matrix::new(&self.n, direction * self.total * self.width + column, self.width)
    }

    /// Its gradient, where that is kept of all steps.
    pub fn d(&self, direction: usize, column: usize) -> Matrix<'_> {
        Matrix::new(&self.d, direction * self.total * self.width + column, self.width)
    }

    /// Where a group starts in all rows.
    fn at(&self, group: Group) -> usize {
        group.first * self.width + group.column
    }

    /// y (+)= N(n) ⊙ gain + bias, with the first of its numbers at `y.at` in each direction; n becomes N(n).
    pub fn forward(&self, r: &Recorder<'_>, calls: &mut Calls, group: Group, y: &[Matrix<'_>], add: bool) {
        let kernel = r.context().kernel("normalise group", NORMALISE);
        let bias = self.biases[0].map_or(u32::MAX, |id| (r.at(id) + group.column) as u32);
        let numbers = words![
            group.rows,
            group.width,
            NORM_EPS,
            self.at(group),
            self.width,
            group.number * self.total + group.first,
            r.at(self.gains[0]) + group.column,
            bias,
            y[0].at,
            y[0].rows,
            add,
            self.total * self.width,
            self.groups * self.total,
            apart(&self.gains, |id| r.at(*id)),
            apart(&self.biases, |id| id.map_or(0, |id| r.at(id))),
            apart(y, |y| y.at),
        ];
        let buffers = [&r.net.values, &self.n, &self.scales, y[0].buffer];
        calls.add(&kernel, &buffers, numbers, self.grid(group.rows));
    }

    /// The gradients of N's argument from those of y, all with their first numbers at `at`.
    pub fn backward(
        &self,
        r: &Recorder<'_>,
        calls: &mut Calls,
        group: Group,
        d: &[Matrix<'_>],
        dx: &[Matrix<'_>],
    ) {
        let kernel = r.context().kernel("normalise group backward", NORMALISE_BACKWARD);
        let numbers = words![
            group.rows,
            group.width,
            d[0].at,
            d[0].rows,
            r.at(self.gains[0]) + group.column,
            self.at(group),
            self.width,
            group.number * self.total + group.first,
            dx[0].at,
            dx[0].rows,
            apart(d, |d| d.at),
            apart(&self.gains, |id| r.at(*id)),
            self.total * self.width,
            self.groups * self.total,
            apart(dx, |dx| dx.at),
        ];
        let buffers = [&r.net.values, d[0].buffer, &self.n, &self.scales, dx[0].buffer];
        calls.add(&kernel, &buffers, numbers, self.grid(group.rows));
    }

    /// Of a direction d gain += Σ d ⊙ n over all rows of these columns; and where `shifts`, d bias += Σ d.
    pub fn weights_backward(
        &self,
        r: &Recorder<'_>,
        calls: &mut Calls,
        direction: usize,
        [column, width]: [usize; 2],
        d: Matrix<'_>,
        shifts: bool,
    ) -> Result<()> {
        let (context, size, gradient) = (r.context(), [self.total, width], &r.shared.gradient);
        let (n, gain) = (self.n(direction, column), self.gains[direction]);
        sum_products(context, calls, size, d, n, (gradient, r.at(gain) + column))?;
        if let Some(id) = self.biases[direction].filter(|_| shifts) {
            sum_rows(context, calls, size, d, (gradient, r.at(id) + column))?;
        }
        Ok(())
    }
}

const NORMALISE: &str =
    concat!(include_str!("../wgsl/fold.wgsl"), include_str!("../wgsl/normalise_group.wgsl"));
const NORMALISE_BACKWARD: &str =
    concat!(include_str!("../wgsl/fold.wgsl"), include_str!("../wgsl/normalise_group_backward.wgsl"));
