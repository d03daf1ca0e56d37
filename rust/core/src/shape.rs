//! Checked sizes of a batch.

use crate::error::{Error, Result};

/// The size of a batch: what a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// B, the sequences side by side.
    pub batch: usize,
    /// T, the steps of the longest.
    pub steps: usize,
}

impl Shape {
    /// Rows of the padded batch, B · T.
    pub fn rows(self) -> usize {
        self.batch * self.steps
    }
}

/// More numbers than this in one array are a mistake, not a model: 64 GiB of float32.
const MOST: usize = 1 << 34;

/// `a · b · …`, or an error where that is more than an array should hold.
pub fn checked_product(name: &'static str, factors: &[usize]) -> Result<usize> {
    let product = factors.iter().try_fold(1_usize, |all, &f| all.checked_mul(f));
    product
        .filter(|&n| n <= MOST)
        .ok_or_else(|| Error::value(name, "a size that fits in memory", format!("{factors:?} numbers")))
}

/// Room for `n` numbers, or an error where the machine has none.
pub fn room<T>(name: &'static str, n: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    match all.try_reserve_exact(n) {
        Ok(()) => Ok(all),
        Err(_) => Err(Error::value(name, "a size that fits in memory", format!("{n} numbers"))),
    }
}

/// `n` zeros, or an error where the machine has no room for them.
pub fn zeros<T: Clone + Default>(name: &'static str, n: usize) -> Result<Vec<T>> {
    let mut all = room(name, n)?;
    all.resize(n, T::default());
    Ok(all)
}

/// The number of steps of each row: `given`, or all of them.
pub fn check_lengths(given: Option<&[usize]>, shape: Shape) -> Result<impl Iterator<Item = usize>> {
    let Shape { batch, steps } = shape;
    if let Some(lengths) = given {
        if lengths.len() != batch {
            return Err(Error::shape("lengths", format!("({batch},)"), &[lengths.len()]));
        }
        if let Some(n) = lengths.iter().find(|&&n| n > steps) {
            return Err(Error::value("lengths", format!("numbers from 0 to {steps}"), n));
        }
    }
    Ok((0..batch).map(move |row| given.map_or(steps, |lengths| lengths[row])))
}
