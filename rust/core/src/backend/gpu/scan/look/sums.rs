//! The sums of a look, each over what is side by side in one of three ways: the numbers of a query, the steps
//! of the memory, the times at which something looked. Long ones are several calls.

use super::super::weights::at;
use super::Look;
use crate::backend::gpu::calls::{Calls, words};
use crate::backend::gpu::kernel::over;
use crate::backend::gpu::product::Matrix;
use crate::backend::gpu::recording::Recorder;

/// Terms of a sum that one call adds.
const CHUNK: usize = 16_384;

/// What a look adds to a sum over looks: its query; or of an additive score u = tanh(q + k), or v (1 − u²).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    Query,
    Unit,
    Slope,
}

/// What a kernel of an additive score has beside others: the other side of its sums, and v.
fn bindings(other: &str) -> String {
    format!(
        "@group(0) @binding(5) var<storage, read> {other}: array<f32>;
@group(0) @binding(6) var<storage, read> values: array<f32>;
fn unit(query: f32, key: f32) -> f32 {{
    return tanh_of(query + key);
}}
fn slope(v: f32, u: f32) -> f32 {{
    return v * (1.0 - u) * (1.0 + u);
}}"
    )
}

impl Look<'_> {
    /// How queries meet keys: added up number by number.
    pub(super) fn scores(
        &self,
        r: &Recorder<'_>,
        calls: &mut Calls,
        additive: bool,
        [q, keys]: [Matrix<'_>; 2],
        n: usize,
    ) {
        let term = if additive {
            "values[p.vector + k] * tanh_of(q[q_at + k] + keys[key_at + k])"
        } else {
            "q[q_at + k] * keys[key_at + k]"
        };
        let text = include_str!("../../wgsl/look_scores.wgsl").replace("/*term*/", term);
        let kernel = r.context().kernel("scores", &text);
        let (steps, vector) = (self.memory.steps, at(r, self.attention.weights.vector));
        for first in (0..q.rows).step_by(CHUNK) {
            let end = q.rows.min(first + CHUNK);
            let numbers = words![n, self.batch, steps, q.rows, first, end, first > 0, q.at, vector];
            calls.add(
                &kernel,
                &[q.buffer, keys.buffer, &r.net.values, &self.scores],
                numbers,
                over(n * steps),
            );
        }
    }

    /// y (+)= Σ_s a_s k_s for each of `n` queries from a place on; of an additive score, given its queries, the
    /// gradient of them.
    pub(super) fn sum(
        &self,
        r: &Recorder<'_>,
        calls: &mut Calls,
        additive: Option<Matrix<'_>>,
        (a, keys): (&wgpu::Buffer, Matrix<'_>),
        [place, n]: [usize; 2],
        y: Matrix<'_>,
        add: bool,
    ) {
        let (term, bindings) = match additive {
            Some(_) => ("slope(values[p.vector + k], unit(q[p.q + i], key))", bindings("q")),
            None => ("key", String::new()),
        };
        let text = include_str!("../../wgsl/look_sum.wgsl").replace("/*term*/", term);
        let kernel = r.context().kernel("sum over a memory", &text.replace("/*bindings*/", &bindings));
        let mut buffers = vec![a, keys.buffer, y.buffer];
        buffers.extend(additive.iter().flat_map(|q| [q.buffer, &r.net.values]));
        let (steps, vector) = (self.memory.steps, at(r, self.attention.weights.vector));
        let q_at = additive.map_or(0, |q| q.at);
        // Without steps a sum is 0 still.
        for first in (0..steps.max(1)).step_by(CHUNK) {
            let (end, add) = (steps.min(first + CHUNK), add || first > 0);
            let numbers = words![n, self.batch, steps, keys.rows, place, first, end, add, q_at, vector, y.at];
            calls.add(&kernel, &buffers, numbers, over(n * keys.rows));
        }
    }

    /// y += Σ_t a⟨t⟩ term⟨t⟩ for each step of the memory.
    pub(super) fn over_steps(
        &self,
        r: &Recorder<'_>,
        back: &mut Calls,
        term: Term,
        a: &wgpu::Buffer,
        x: Matrix<'_>,
        y: &wgpu::Buffer,
    ) {
        let (text, bindings) = match term {
            Term::Query => ("query", String::new()),
            Term::Unit => ("unit(query, keys[i])", bindings("keys")),
            Term::Slope => ("slope(values[p.vector + k], unit(query, keys[i]))", bindings("keys")),
        };
        let text = include_str!("../../wgsl/look_back.wgsl").replace("/*term*/", text);
        let kernel = r.context().kernel("sum over looks", &text.replace("/*bindings*/", &bindings));
        let mut buffers = vec![a, x.buffer, y];
        if term != Term::Query {
            buffers.extend([self.keys.values(), &r.net.values]);
        }
        let (steps, vector) = (self.memory.steps, at(r, self.attention.weights.vector));
        for first in (0..self.steps).step_by(CHUNK) {
            let end = self.steps.min(first + CHUNK);
            let numbers = words![self.batch, steps, x.rows, first, end, vector];
            back.add(&kernel, &buffers, numbers, over(self.batch * steps * x.rows));
        }
    }
}
