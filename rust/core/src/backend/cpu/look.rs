//! One row's look at its memory, and back: the innermost loops of attention.

use super::math::Elementary;
use super::scratch::Rows;
use super::simd::{Pack, Task};
use crate::cells::{Lanes, Nonlinear, Tanh};
use std::ops::Range;

/// What a query looks at.
pub(super) struct Sight<'a, T> {
    pub(super) query: &'a [T],
    pub(super) keys: &'a Rows<T>,
    pub(super) values: &'a Rows<T>,
    /// Rows of both.
    pub(super) steps: Range<usize>,
    /// v of an additive score, padded to whole registers; else nothing.
    pub(super) vector: &'a [T],
    /// Numbers in a key and in a value.
    pub(super) widths: [usize; 2],
}

/// Shares and context.
pub(super) struct Look<'a, T> {
    pub(super) sight: Sight<'a, T>,
    pub(super) shares: &'a mut [T],
    pub(super) context: &'a mut [T],
}

impl<T: Elementary> Task<T> for Look<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { sight: Sight { query, keys, values, steps, vector, widths }, shares, context } = self;
        let [key_width, width] = widths.map(|width| width.next_multiple_of(L));
        for (step, share) in steps.clone().zip(&mut *shares) {
            let key = keys.at(step);
            let mut sum = Pack::<T, L>::ZEROS;
            if vector.is_empty() {
                for k in (0..key_width).step_by(L) {
                    sum = sum + Pack::load(&query[k..]) * Pack::load(&key[k..]);
                }
            } else {
                for k in (0..key_width).step_by(L) {
                    let unit = (Pack::<T, L>::load(&query[k..]) + Pack::load(&key[k..])).tanh();
                    sum = sum + Pack::load(&vector[k..]) * unit;
                }
            }
            *share = sum.sum();
        }
        let shares = &mut shares[..steps.len()];
        let top = shares.iter().copied().reduce(|m, e| if e > m { e } else { m }).unwrap_or(T::ZERO);
        let mut sum = T::ZERO;
        for share in &mut *shares {
            *share = T::exp_each([*share - top])[0];
            sum += *share;
        }
        shares.iter_mut().for_each(|share| *share = *share / sum);
        context[..width].fill(T::ZERO);
        for (step, &share) in steps.clone().zip(&*shares) {
            let (value, share) = (values.at(step), Pack([share; L]));
            for k in (0..width).step_by(L) {
                let c = &mut context[k..];
                (Pack::load(c) + share * Pack::load(&value[k..])).store(c);
            }
        }
    }
}

/// Adds to the gradients of keys, values and v, and sets that of the query.
pub(super) struct LookBack<'a, T> {
    pub(super) sight: Sight<'a, T>,
    pub(super) shares: &'a [T],
    pub(super) context: &'a [T],
    pub(super) d_context: &'a [T],
    pub(super) d_query: &'a mut [T],
    pub(super) d_keys: &'a mut Rows<T>,
    pub(super) d_values: &'a mut Rows<T>,
    pub(super) d_vector: &'a mut [T],
}

impl<T: Elementary> Task<T> for LookBack<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) {
        let Self { sight, shares, context, d_context, d_query, d_keys, d_values, d_vector } = self;
        let Sight { query, keys, values, steps, vector, widths } = sight;
        let [key_width, width] = widths.map(|width| width.next_multiple_of(L));
        let dot = |a: &[T], b: &[T]| {
            let mut sum = Pack::<T, L>::ZEROS;
            for k in (0..width).step_by(L) {
                sum = sum + Pack::load(&a[k..]) * Pack::load(&b[k..]);
            }
            sum.sum()
        };
        // de_s = a_s (dc · m_s − Σ_r a_r dc · m_r), and that sum is dc · c.
        let along = dot(d_context, context);
        d_query[..key_width].fill(T::ZERO);
        for (step, &share) in steps.zip(shares) {
            let d_score = Pack([share * (dot(d_context, values.at(step)) - along); L]);
            let (d_value, share) = (d_values.at_mut(step), Pack([share; L]));
            for k in (0..width).step_by(L) {
                let d = &mut d_value[k..];
                (Pack::load(d) + share * Pack::load(&d_context[k..])).store(d);
            }
            let (key, d_key) = (keys.at(step), d_keys.at_mut(step));
            for k in (0..key_width).step_by(L) {
                let (q, key) = (Pack::<T, L>::load(&query[k..]), Pack::load(&key[k..]));
                let (by_query, by_key) = if vector.is_empty() {
                    (d_score * key, d_score * q)
                } else {
                    let unit = (q + key).tanh();
                    let d_vector = &mut d_vector[k..];
                    (Pack::load(d_vector) + d_score * unit).store(d_vector);
                    let d = d_score * Pack::load(&vector[k..]) * Tanh.slope(unit);
                    (d, d)
                };
                let (d_query, d_key) = (&mut d_query[k..], &mut d_key[k..]);
                (Pack::load(d_query) + by_query).store(d_query);
                (Pack::load(d_key) + by_key).store(d_key);
            }
        }
    }
}
