//! Which numbers of an array count.

use crate::error::{Error, Result, tuple};
use crate::float::Float;
use crate::shape::{Shape, check_lengths, checked_product};
use std::ops::Range;

/// The axes of an array, and which of its places count.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Its axes: (B, T, …), or (B, …) without steps.
    pub shape: &'a [usize],
    /// Steps that count of each of the B rows; all of them by default.
    pub lengths: Option<&'a [usize]>,
    /// Whether it counts, for every place along the first axis, the first two, … or all of them: as many
    /// as those axes multiply to.
    pub mask: Option<&'a [bool]>,
}

impl Places<'_> {
    /// The places that count, as runs in order that do not touch.
    pub(super) fn runs(&self) -> Result<Vec<Range<usize>>> {
        let size = self.size()?;
        // Numbers in a row, and how many of each row count; without lengths all is one row.
        let (row, counts) = match (self.lengths, self.shape) {
            (None, _) => (size, vec![size]),
            (Some(_), [batch, steps, rest @ ..]) => {
                let lengths = check_lengths(self.lengths, Shape { batch: *batch, steps: *steps })?;
                let width = rest.iter().product::<usize>();
                (steps * width, lengths.map(|length| length * width).collect())
            }
            (Some(_), _) => return Err(Error::value("lengths", "none without an axis of steps", "some")),
        };
        let mask = self.mask.map(|mask| self.check_mask(mask)).transpose()?.filter(|_| size > 0);
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut add = |run: Range<usize>| match runs.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if last.end == run.start => last.end = run.end,
            _ => runs.push(run),
        };
        for (b, count) in counts.into_iter().enumerate() {
            let counted = b * row..b * row + count;
            let Some(mask) = mask else {
                add(counted);
                continue;
            };
            let unit = size / mask.len();
            for u in (counted.start / unit..counted.end.div_ceil(unit)).filter(|&u| mask[u]) {
                add(counted.start.max(u * unit)..counted.end.min((u + 1) * unit));
            }
        }
        Ok(runs)
    }

    fn size(&self) -> Result<usize> {
        checked_product("shape", self.shape)
    }

    /// Refuses a mask that does not end with an axis.
    fn check_mask<'m>(&self, mask: &'m [bool]) -> Result<&'m [bool]> {
        let ends = self.shape.iter().scan(1, |size, &axis| {
            *size *= axis;
            Some(*size)
        });
        if ends.into_iter().any(|end| end == mask.len()) {
            return Ok(mask);
        }
        Err(Error::shape("mask", format!("{} or its first axes", tuple(self.shape)), &[mask.len()]))
    }

    pub(crate) fn same_size(&self, name: &str, len: usize) -> Result<()> {
        if len == self.size()? { Ok(()) } else { Err(Error::shape(name, tuple(self.shape), &[len])) }
    }

    /// Calls `f` with the same places of an array that has one axis more.
    pub(super) fn with_axis<R>(&self, width: usize, f: impl FnOnce(&Places<'_>) -> R) -> R {
        let shape: Vec<usize> = self.shape.iter().copied().chain([width]).collect();
        f(&Places { shape: &shape, ..*self })
    }

    /// The index of a number, as Python writes a list: `[b, t, …]`.
    pub(super) fn index(&self, mut at: usize) -> String {
        let mut index = vec![0; self.shape.len()];
        for (i, &axis) in index.iter_mut().zip(self.shape).rev() {
            (*i, at) = (at % axis, at / axis);
        }
        format!("{index:?}")
    }

    /// What to say of numbers of which one that counts is NaN or infinite.
    pub(crate) fn one_not_finite<T: Float>(&self, name: &'static str, numbers: &[T]) -> Error {
        let all = match self.runs() {
            Ok(runs) => runs.into_iter().flatten(),
            Err(error) => return error,
        };
        let at = all.into_iter().find(|&at| !numbers[at].is_finite());
        self.not_finite(name, numbers, at.expect("the caller found one"))
    }

    /// What to say of number `at`, which is NaN or infinite.
    pub(super) fn not_finite<T: Float>(&self, name: &'static str, numbers: &[T], at: usize) -> Error {
        let got = format!("{} at {}", numbers[at].to_f64(), self.index(at));
        Error::value(name, "finite numbers", got.replace("NaN", "nan"))
    }
}
