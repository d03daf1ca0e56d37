//! Layer normalisation (Ba et al. 2016) over rows of numbers:
//!
//! ```text
//! x̂ = (x − mean x) / √(var x + eps)        y = gain ⊙ x̂ + bias
//! dx = (g − mean g − x̂ mean (g ⊙ x̂)) / √(var x + eps),   g = dy ⊙ gain
//! ```
//! A row's numbers lie in blocks of registers: the slots of a recurrent layer's unit blocks, or
//! simply one register after the other.

use super::math::Elementary;
use super::simd::{Isa, Pack, Task};
use crate::cells::Lanes;

/// Where a row's numbers lie: register `slot` of block `b` of row `r` at `r·row + b·block + slot·L`.
#[derive(Clone, Copy)]
pub(super) struct Spread<'a> {
    pub(super) row: usize,
    pub(super) block: usize,
    /// Registers of a block that are normalised together.
    pub(super) slots: &'a [usize],
}

/// Gain and shift, laid out like one row with `block` numbers a block.
#[derive(Clone, Copy)]
pub(super) struct Gains<'a, T> {
    pub(super) gain: &'a [T],
    /// None: y is added to what is there.
    pub(super) bias: Option<&'a [T]>,
    pub(super) block: usize,
}

/// What all rows of a normalisation share.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) isa: Isa,
    /// Numbers in a block's register that exist, block by block; the rest is padding.
    pub(super) units: usize,
    pub(super) eps: f64,
    pub(super) spread: Spread<'a>,
}

impl Norm<'_> {
    /// `x` becomes x̂, `y` its gain and shift, `scale` 1 / √(var + eps) of each row.
    pub(super) fn forward<T: Elementary>(
        &self,
        rows: usize,
        x: &mut [T],
        gains: Gains<'_, T>,
        y: &mut [T],
        y_at: [usize; 2],
        scale: &mut [T],
    ) {
        self.isa.run(Forward { norm: *self, rows, x, gains, y, y_at, scale });
    }

    /// `x` goes from x̂ to dx; the gradient of the gain is added to `d_gain`, laid out as the gain.
    pub(super) fn backward<T: Elementary>(
        &self,
        rows: usize,
        x: &mut [T],
        gains: Gains<'_, T>,
        dy: &[T],
        dy_at: [usize; 2],
        scale: &[T],
        d_gain: &mut [T],
    ) {
        self.isa.run(Backward { norm: *self, rows, x, gains, dy, dy_at, scale, d_gain });
    }

    /// Numbers a row.
    fn count<T: Elementary>(&self) -> T {
        T::from_f64((self.units * self.spread.slots.len()) as f64)
    }

    fn blocks<const L: usize>(&self) -> usize {
        self.units.div_ceil(L)
    }

    /// The lanes of a block that exist; 0 in the others, whatever they hold.
    #[inline(always)]
    fn real<T: Elementary, const L: usize>(&self, block: usize, x: Pack<T, L>) -> Pack<T, L> {
        Pack(std::array::from_fn(|l| if block * L + l < self.units { x.0[l] } else { T::ZERO }))
    }
}

struct Forward<'a, T> {
    norm: Norm<'a>,
    rows: usize,
    x: &'a mut [T],
    gains: Gains<'a, T>,
    y: &'a mut [T],
    y_at: [usize; 2],
    scale: &'a mut [T],
}

impl<T: Elementary> Task<T> for Forward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { norm, rows, x, gains, y, y_at, scale } = self;
        let Spread { row, block, slots } = norm.spread;
        let (blocks, n) = (norm.blocks::<L>(), norm.count::<T>());
        for r in 0..rows {
            let mut sum = Pack::<T, L>::ZEROS;
            for b in 0..blocks {
                for &s in slots {
                    sum = sum + norm.real(b, Pack::load(&x[r * row + b * block + s * L..]));
                }
            }
            let mean = Pack([sum.sum() / n; L]);
            let mut squares = Pack::<T, L>::ZEROS;
            for b in 0..blocks {
                for &s in slots {
                    let d = norm.real(b, Pack::load(&x[r * row + b * block + s * L..]) - mean);
                    squares = squares + d * d;
                }
            }
            scale[r] = T::ONE / (squares.sum() / n + T::from_f64(norm.eps)).sqrt();
            let by = Pack([scale[r]; L]);
            for b in 0..blocks {
                for &s in slots {
                    let x = &mut x[r * row + b * block + s * L..];
                    let hat = norm.real(b, (Pack::load(x) - mean) * by);
                    hat.store(x);
                    let at = b * gains.block + s * L;
                    let y = &mut y[r * y_at[0] + b * y_at[1] + s * L..];
                    let start = match gains.bias {
                        Some(bias) => Pack::load(&bias[at..]),
                        None => Pack::load(y),
                    };
                    (start + hat * Pack::load(&gains.gain[at..])).store(y);
                }
            }
        }
    }
}

struct Backward<'a, T> {
    norm: Norm<'a>,
    rows: usize,
    x: &'a mut [T],
    gains: Gains<'a, T>,
    dy: &'a [T],
    dy_at: [usize; 2],
    scale: &'a [T],
    d_gain: &'a mut [T],
}

impl<T: Elementary> Task<T> for Backward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { norm, rows, x, gains, dy, dy_at, scale, d_gain } = self;
        let Spread { row, block, slots } = norm.spread;
        let (blocks, n) = (norm.blocks::<L>(), norm.count::<T>());
        for r in 0..rows {
            let (mut sum, mut along) = (Pack::<T, L>::ZEROS, Pack::<T, L>::ZEROS);
            for b in 0..blocks {
                for &s in slots {
                    let at = b * gains.block + s * L;
                    let hat = Pack::load(&x[r * row + b * block + s * L..]);
                    let dy = norm.real(b, Pack::load(&dy[r * dy_at[0] + b * dy_at[1] + s * L..]));
                    let g = dy * Pack::load(&gains.gain[at..]);
                    (Pack::load(&d_gain[at..]) + dy * hat).store(&mut d_gain[at..]);
                    sum = sum + g;
                    along = along + g * hat;
                }
            }
            let (mean, along, by) =
                (Pack([sum.sum() / n; L]), Pack([along.sum() / n; L]), Pack([scale[r]; L]));
            for b in 0..blocks {
                for &s in slots {
                    let x = &mut x[r * row + b * block + s * L..];
                    let hat = Pack::load(x);
                    let dy = Pack::load(&dy[r * dy_at[0] + b * dy_at[1] + s * L..]);
                    let g = dy * Pack::load(&gains.gain[b * gains.block + s * L..]);
                    norm.real(b, (g - mean - hat * along) * by).flush().store(x);
                }
            }
        }
    }
}
