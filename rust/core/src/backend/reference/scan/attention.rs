//! A layer's look at the memory: the equations of [`crate::program::Attention`], and back.

use super::super::tape::Look;
use super::super::vectors::{add, dot};
use super::super::work::{Place, Work};
use super::layer::Layer;
use super::weights::Weights;
use crate::cells::Lanes;
use crate::float::Float;
use crate::program::{Attention, Score, When};

/// M x, row by row of M.
fn product<T: Float>(matrix: &[T], x: &[T]) -> Vec<T> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// Back through y = M x: adds to the gradients of M and x.
fn product_backward<T: Float>(matrix: &[T], x: &[T], dy: &[T], d_matrix: &mut [T], dx: &mut [T]) {
    let rows = matrix.chunks_exact(x.len()).zip(d_matrix.chunks_exact_mut(x.len()));
    for ((row, d_row), &d) in rows.zip(dy) {
        add(dx, d, row);
        add(d_row, d, x);
    }
}

impl<T: Float + Lanes> Layer<'_, T> {
    /// The layer's attention, if it looks at this time of a step.
    fn attends(&self, when: When) -> Option<Attention> {
        self.scan.attention.filter(|attention| attention.when == when)
    }

    /// The steps of a row's memory that count.
    fn memory(work: &Work<T>, row: usize, width: usize) -> impl Iterator<Item = &[T]> {
        let steps = work.memory.chunks_exact(width).skip(row * work.memory_steps);
        steps.take(work.memory_lengths[row])
    }

    /// Looks, if this is the time of a step to do so, and writes down the context and the shares.
    pub fn look(&self, work: &mut Work<T>, place: Place, when: When, h: &[T]) -> Option<Look<T>> {
        let attention = self.attends(when)?;
        let w = &self.weights;
        let query = if w.query.is_empty() { h.to_vec() } else { product(&w.query, h) };
        let memory: Vec<&[T]> = Self::memory(work, place.row, attention.memory).collect();
        let key = |m: &&[T]| if w.key.is_empty() { m.to_vec() } else { product(&w.key, m) };
        let keys: Vec<Vec<T>> = memory.iter().map(key).collect();
        let score = |key: &Vec<T>| match attention.score {
            Score::Additive => {
                let units = query.iter().zip(key).map(|(&q, &k)| Float::tanh(q + k));
                dot(&w.vector, &units.collect::<Vec<T>>())
            }
            Score::Dot | Score::General => dot(&query, key),
        };
        let scores: Vec<T> = keys.iter().map(score).collect();
        let top = scores.iter().copied().reduce(|m, e| if e > m { e } else { m }).unwrap_or(T::ZERO);
        let powers: Vec<T> = scores.iter().map(|&e| (e - top).exp()).collect();
        let sum = powers.iter().fold(T::ZERO, |sum, &p| sum + p);
        let shares: Vec<T> = powers.iter().map(|&p| p / sum).collect();
        let mut context = vec![T::ZERO; attention.memory];
        memory.iter().zip(&shares).for_each(|(m, &a)| add(&mut context, a, m));
        work.slots[attention.context][place.at * attention.memory..][..attention.memory]
            .copy_from_slice(&context);
        work.attention[place.at * work.memory_steps..][..shares.len()].copy_from_slice(&shares);
        Some(Look { h: h.to_vec(), query, keys, shares, context })
    }

    /// W_ch c.
    pub fn sight(&self, context: &[T]) -> Vec<T> {
        product(&self.weights.context, context)
    }

    /// Back through a look, if this was its time: from the context's gradient above, and from `dz`, that
    /// of W_ch c, to the memory and the weights. Returns the gradient of h.
    pub fn look_backward(
        &self,
        work: &mut Work<T>,
        place: Place,
        when: When,
        look: Option<&Look<T>>,
        dz: Option<&[T]>,
        g: &mut Weights<T>,
    ) -> Vec<T> {
        let mut d_h = vec![T::ZERO; self.scan.width];
        let Some((attention, look)) = self.attends(when).zip(look) else { return d_h };
        let (w, width) = (&self.weights, attention.memory);
        let mut d_context = work.d_slots[attention.context][place.at * width..][..width].to_vec();
        if let Some(dz) = dz {
            product_backward(&w.context, &look.context, dz, &mut g.context, &mut d_context);
        }
        let memory: Vec<T> = Self::memory(work, place.row, width).flatten().copied().collect();
        let d_shares: Vec<T> = memory.chunks_exact(width).map(|m| dot(m, &d_context)).collect();
        let mean = dot(&look.shares, &d_shares);
        let mut d_query = vec![T::ZERO; look.query.len()];
        for (s, m) in memory.chunks_exact(width).enumerate() {
            let key = &look.keys[s];
            let mut dm = vec![T::ZERO; width];
            add(&mut dm, look.shares[s], &d_context);
            let d_score = look.shares[s] * (d_shares[s] - mean);
            let mut d_key = vec![T::ZERO; key.len()];
            match attention.score {
                Score::Additive => {
                    for k in 0..key.len() {
                        let unit = Float::tanh(look.query[k] + key[k]);
                        g.vector[k] += d_score * unit;
                        d_key[k] = d_score * w.vector[k] * (T::ONE - unit * unit);
                    }
                    add(&mut d_query, T::ONE, &d_key);
                }
                Score::Dot | Score::General => {
                    add(&mut d_query, d_score, key);
                    add(&mut d_key, d_score, &look.query);
                }
            }
            if w.key.is_empty() {
                add(&mut dm, T::ONE, &d_key);
            } else {
                product_backward(&w.key, m, &d_key, &mut g.key, &mut dm);
            }
            add(&mut work.d_memory[(place.row * work.memory_steps + s) * width..][..width], T::ONE, &dm);
        }
        if w.query.is_empty() {
            add(&mut d_h, T::ONE, &d_query);
        } else {
            product_backward(&w.query, &look.h, &d_query, &mut g.query, &mut d_h);
        }
        d_h
    }
}
