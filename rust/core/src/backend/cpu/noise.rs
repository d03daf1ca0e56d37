//! Random masks, drawn a row at a time on a backend's lanes.

use super::math::Elementary;
use super::simd::{Isa, Task};
use crate::rng::Stream;

/// Draws `kept` with probability `keep`, else 0, for every unit of a row: see
/// [`Stream::choice_row`].
pub(super) fn choose<T: Elementary>(
    isa: Isa,
    stream: Stream,
    [t, row]: [usize; 2],
    keep: f64,
    kept: f64,
    out: &mut [T],
) {
    isa.run(Choices { stream, t: t as u32, row: row as u32, keep, kept: T::from_f64(kept), out });
}

struct Choices<'a, T> {
    stream: Stream,
    t: u32,
    row: u32,
    keep: f64,
    kept: T,
    out: &'a mut [T],
}

impl<T: Elementary> Task<T> for Choices<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        self.stream.choice_row(self.t, self.row, self.keep, self.kept, self.out);
    }
}

/// `rows` rows of numbers, each a number of whole registers, in slices whose rows are `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
}

impl Extent {
    #[inline(always)]
    fn each(self, mut f: impl FnMut(usize)) {
        for r in 0..self.rows {
            for k in 0..self.width {
                f(r * self.stride + k);
            }
        }
    }
}

/// next ← prev + k (next − prev): zoneout.
pub(super) struct Blend<'a, T> {
    pub(super) extent: Extent,
    pub(super) prev: &'a [T],
    pub(super) next: &'a mut [T],
    pub(super) k: &'a [T],
}

impl<T: Elementary> Task<T> for Blend<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { extent, prev, next, k } = self;
        extent.each(|i| next[i] = prev[i] + k[i] * (next[i] - prev[i]));
    }
}

/// Backwards: of `d + above` the share k goes to `new`, the rest stays in `d`. Without k all of it
/// goes to `new`; without `above` there is `d` alone.
pub(super) struct Share<'a, T> {
    pub(super) extent: Extent,
    pub(super) d: &'a mut [T],
    pub(super) above: &'a [T],
    pub(super) k: &'a [T],
    pub(super) new: &'a mut [T],
}

impl<T: Elementary> Task<T> for Share<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { extent, d, above, k, new } = self;
        extent.each(|i| {
            let all = if above.is_empty() { d[i] } else { d[i] + above[i] };
            new[i] = if k.is_empty() { all } else { k[i] * all };
            d[i] = all - new[i];
        });
    }
}

/// out ← a ⊙ b, or out ← out + a ⊙ b.
pub(super) struct Multiply<'a, T> {
    pub(super) extent: Extent,
    pub(super) a: &'a [T],
    pub(super) b: &'a [T],
    pub(super) adds: bool,
    pub(super) out: &'a mut [T],
}

impl<T: Elementary> Task<T> for Multiply<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { extent, a, b, adds, out } = self;
        extent.each(|i| out[i] = if adds { out[i] + a[i] * b[i] } else { a[i] * b[i] });
    }
}
