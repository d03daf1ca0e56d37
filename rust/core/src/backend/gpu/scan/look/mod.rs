//! A layer's attention: its looks at the memory, the equations of [`crate::program::Attention`], and back.
//!
//! A look before a step is of that step's rows; looks after it read the layer's output, and are of all steps
//! at once.

mod sums;

use super::layer::Layer;
use crate::backend::gpu::attended::Attended;
use crate::backend::gpu::calls::{Calls, words};
use crate::backend::gpu::copies::fill;
use crate::backend::gpu::kernel::GRID;
use crate::backend::gpu::product::{Matrix, product, product_in, scratch_len, sum_rows};
use crate::backend::gpu::recording::Recorder;
use crate::error::Result;
use crate::program::{Attention, Recurrence, Score, When};
use sums::Term;

/// What all looks at a memory share. What a form lacks is of a few numbers.
pub(super) struct Keys {
    attention: Attention,
    memory: Attended,
    /// U m (B, S, A).
    keys: wgpu::Buffer,
    d_keys: wgpu::Buffer,
    /// What each step of the memory adds to the gradient of v, (B, S, A).
    d_vector: wgpu::Buffer,
    /// B · S.
    rows: usize,
}

/// What the looks of a segment keep for the way back.
pub(super) struct Look<'a> {
    keys: &'a Keys,
    attention: Attention,
    memory: &'a Attended,
    /// Of each step of the memory its share, (T, B, S).
    shares: &'a wgpu::Buffer,
    /// W h (T, B, A).
    queries: wgpu::Buffer,
    d_queries: wgpu::Buffer,
    /// e of one look, and the gradients of its shares.
    scores: wgpu::Buffer,
    /// The gradients of e, (T, B, S).
    d_scores: wgpu::Buffer,
    /// Of the looks' products.
    scratch: wgpu::Buffer,
    /// Numbers in h, B and T.
    width: usize,
    batch: usize,
    steps: usize,
}

fn is_additive(attention: Attention) -> bool {
    attention.score == Score::Additive
}

impl Keys {
    pub fn new(r: &Recorder<'_>, scan: &Recurrence) -> Result<Option<Self>> {
        let Some((attention, memory)) = scan.attention.zip(r.memory.clone()) else { return Ok(None) };
        let (learns, has_key) = (r.signature.learns, attention.weights.key.is_some());
        let rows = r.batch() * memory.steps;
        let buffer =
            |name: &str, wanted: bool| r.buffer(name, if wanted { rows * attention.size } else { 0 });
        Ok(Some(Self {
            keys: buffer("keys", has_key)?,
            d_keys: buffer("gradient of keys", has_key && learns)?,
            d_vector: buffer("gradient of the score's vector", is_additive(attention) && learns)?,
            attention,
            memory,
            rows,
        }))
    }

    /// The keys: the memory itself for a dot product with h.
    fn values(&self) -> &wgpu::Buffer {
        if self.attention.weights.key.is_some() { &self.keys } else { &self.memory.values }
    }

    /// The keys of a run.
    pub fn forward(&self, r: &mut Recorder<'_>) -> Result<()> {
        let Some(id) = self.attention.weights.key else { return Ok(()) };
        let (context, Attention { memory: d, size, .. }) = (r.context(), self.attention);
        let (m, u) = (Matrix::new(&self.memory.values, 0, d), Matrix::new(&r.net.values, r.at(id), d).t());
        let keys = Matrix::new(&self.keys, 0, size);
        product(context, &mut r.forward, [self.rows, size, d], m, u, None, keys, false)
    }

    /// Before all looks on the way back: the sums over them are 0.
    pub fn start_backward(&self, r: &mut Recorder<'_>) {
        let (Attention { memory: d, size, weights, .. }, mut back) = (self.attention, Calls::default());
        fill(r.context(), &mut back, &self.memory.d, 0, self.rows * d);
        if weights.key.is_some() {
            fill(r.context(), &mut back, &self.d_keys, 0, self.rows * size);
        }
        if weights.vector.is_some() {
            fill(r.context(), &mut back, &self.d_vector, 0, self.rows * size);
        }
        r.back(back);
    }

    /// After them: dU = dkᵀ m, dm += dk U, and the gradient of v.
    pub fn backward(&self, r: &mut Recorder<'_>) -> Result<()> {
        if !r.signature.learns {
            return Ok(());
        }
        let (context, gradient, mut back) = (r.context(), &r.shared.gradient, Calls::default());
        let (Attention { memory: d, size, weights, .. }, rows) = (self.attention, self.rows);
        if let Some(id) = weights.key {
            let (dk, m) = (Matrix::new(&self.d_keys, 0, size), Matrix::new(&self.memory.values, 0, d));
            let (u, du) = (Matrix::new(&r.net.values, r.at(id), d), Matrix::new(gradient, r.at(id), d));
            let dm = Matrix::new(&self.memory.d, 0, d);
            product(context, &mut back, [size, d, rows], dk.t(), m, None, du, true)?;
            product(context, &mut back, [rows, d, size], dk, u, None, dm, true)?;
        }
        if let Some(id) = weights.vector {
            let d_vector = Matrix::new(&self.d_vector, 0, size);
            sum_rows(context, &mut back, [rows, size], d_vector, (gradient, r.at(id)))?;
        }
        r.back(back);
        Ok(())
    }
}

impl<'a> Look<'a> {
    pub fn new(r: &Recorder<'_>, layer: &Layer<'_>, keys: &'a Keys) -> Result<Self> {
        let Keys { attention, memory, .. } = keys;
        let (batch, steps, width, size) = (layer.batch, layer.steps, layer.scans[0].width, attention.size);
        let learns = r.signature.learns;
        let buffer = |name: &str, wanted: bool, len: usize| r.buffer(name, if wanted { len } else { 0 });
        let at_once = if attention.when == When::Before { batch } else { layer.rows };
        let of_steps = layer.rows * memory.steps;
        let additive = is_additive(*attention);
        let (fed, d) = (layer.widths()[1], attention.memory);
        let sizes = [[at_once, size, width], [at_once, width, size], [batch, fed, d], [batch, d, fed]];
        Ok(Self {
            queries: buffer("queries", additive, layer.rows * size)?,
            d_queries: buffer("gradient of queries", additive && learns, layer.rows * size)?,
            scores: buffer("scores", true, at_once * memory.steps)?,
            d_scores: buffer("gradient of scores", learns, of_steps)?,
            scratch: r.buffer("parts of products", sizes.into_iter().map(scratch_len).max().unwrap_or(0))?,
            shares: &memory.shares[r.segment.number],
            keys,
            attention: *attention,
            memory,
            width,
            batch,
            steps,
        })
    }

    /// Whether the cell sees the context.
    pub fn is_before(&self) -> bool {
        self.attention.when == When::Before
    }

    fn is_additive(&self) -> bool {
        is_additive(self.attention)
    }

    /// Of queries made of `h`, from some place on: where they are.
    fn queries<'b>(&'b self, h: Matrix<'b>, place: usize) -> Matrix<'b> {
        let size = self.attention.size;
        if self.is_additive() { Matrix::new(&self.queries, place * size, size) } else { h }
    }

    /// The looks of `rows` rows from a place on, with `h` of the first.
    pub fn forward(&self, r: &Recorder<'_>, calls: &mut Calls, h: Matrix<'_>, place: usize, rows: usize) {
        let (context, Attention { memory: d, size, .. }) = (r.context(), self.attention);
        let (steps, q) = (self.memory.steps, self.queries(h, place));
        if let Some(id) = self.attention.weights.query {
            let w = Matrix::new(&r.net.values, r.at(id), self.width).t();
            product_in(context, calls, &self.scratch, [rows, size, self.width], h, w, q, false);
        }
        self.scores(r, calls, self.is_additive(), [q, Matrix::new(self.keys.values(), 0, size)], rows);
        let kernel = context.kernel("shares of a memory", SHARES);
        let buffers = [&self.scores, &self.memory.lengths, self.shares];
        let numbers = words![rows, self.batch, steps, place];
        calls.add(&kernel, &buffers, numbers, [rows.min(GRID), rows.div_ceil(GRID), 1]);
        let (slot, m) = (r.slot(self.attention.context), Matrix::new(&self.memory.values, 0, d));
        let c = Matrix::new(&slot, place * d, d);
        self.sum(r, calls, None, (self.shares, m), [place, rows], c, false);
    }

    /// z += W_ch c of the rows of a step.
    pub fn seen(&self, r: &Recorder<'_>, layer: &Layer<'_>, calls: &mut Calls, t: usize) {
        let Some(id) = self.attention.weights.context else { return };
        let (d, slot, [_, fed]) = (self.attention.memory, r.slot(self.attention.context), layer.widths());
        let (c, w) = (layer.at(Matrix::new(&slot, 0, d), t), Matrix::new(&r.net.values, r.at(id), d).t());
        let (size, z) = ([self.batch, fed, d], layer.at(layer.z(0, 0), t));
        product_in(r.context(), calls, &self.scratch, size, c, w, z, true);
    }

    /// From the gradient of z to that of the context, beside what reads it from above.
    pub fn seen_backward(&self, r: &Recorder<'_>, layer: &Layer<'_>, back: &mut Calls, t: usize) {
        let Some(id) = self.attention.weights.context else { return };
        let (d, slot, [_, fed]) = (self.attention.memory, r.d_slot(self.attention.context), layer.widths());
        let (dc, w) = (layer.at(Matrix::new(&slot, 0, d), t), Matrix::new(&r.net.values, r.at(id), d));
        let (size, dz) = ([self.batch, d, fed], layer.at(layer.z(0, 0), t));
        product_in(r.context(), back, &self.scratch, size, dz, w, dc, true);
    }

    /// From the gradients of contexts to those of scores and queries; adds to `d_h`, that of the first row's h.
    pub fn backward(
        &self,
        r: &Recorder<'_>,
        back: &mut Calls,
        [h, d_h]: [Matrix<'_>; 2],
        place: usize,
        rows: usize,
    ) {
        let (context, Attention { memory: d, size, .. }) = (r.context(), self.attention);
        let (steps, slot) = (self.memory.steps, r.d_slot(self.attention.context));
        // da_s = m_s · dc, de = a ⊙ (da − a · da).
        let dc = Matrix::new(&slot, place * d, d);
        self.scores(r, back, false, [dc, Matrix::new(&self.memory.values, 0, d)], rows);
        let kernel = context.kernel("shares of a memory backward", SHARES_BACKWARD);
        let buffers = [self.shares, &self.scores, &self.d_scores];
        let grid = [rows.min(GRID), rows.div_ceil(GRID), 1];
        back.add(&kernel, &buffers, words![rows, steps, place], grid);
        // dq = Σ_s de_s k_s, or Σ_s de_s v ⊙ (1 − u_s²).
        let (terms, at) = ((&self.d_scores, Matrix::new(self.keys.values(), 0, size)), [place, rows]);
        let Some(id) = self.attention.weights.query else {
            return self.sum(r, back, None, terms, at, d_h, true);
        };
        let dq = Matrix::new(&self.d_queries, place * size, size);
        self.sum(r, back, Some(self.queries(h, place)), terms, at, dq, false);
        let w = Matrix::new(&r.net.values, r.at(id), self.width);
        product_in(context, back, &self.scratch, [rows, self.width, size], dq, w, d_h, true);
    }

    /// What all looks add to the gradients of the memory and of the keys, and those of the other weights; `h` is
    /// of all steps.
    pub fn weights_backward(
        &self,
        r: &Recorder<'_>,
        layer: &Layer<'_>,
        back: &mut Calls,
        h: Matrix<'_>,
    ) -> Result<()> {
        let (context, gradient) = (r.context(), &r.shared.gradient);
        let (Attention { memory: d, size, weights, .. }, rows) = (self.attention, layer.rows);
        let (d_slot, slot) = (r.d_slot(self.attention.context), r.slot(self.attention.context));
        let (dc, dm) = (Matrix::new(&d_slot, 0, d), &self.memory.d);
        self.over_steps(r, back, Term::Query, self.shares, dc, dm);
        let q = self.queries(h, 0);
        if weights.key.is_some() {
            let term = if self.is_additive() { Term::Slope } else { Term::Query };
            self.over_steps(r, back, term, &self.d_scores, q, &self.keys.d_keys);
        } else {
            self.over_steps(r, back, Term::Query, &self.d_scores, q, dm);
        }
        if weights.vector.is_some() {
            self.over_steps(r, back, Term::Unit, &self.d_scores, q, &self.keys.d_vector);
        }
        if let Some(id) = weights.query {
            let (dq, dw) =
                (Matrix::new(&self.d_queries, 0, size), Matrix::new(gradient, r.at(id), self.width));
            product(context, back, [size, self.width, rows], dq.t(), h, None, dw, true)?;
        }
        if let Some(id) = weights.context {
            let ([_, fed], c) = (layer.widths(), Matrix::new(&slot, 0, d));
            let dw = Matrix::new(gradient, r.at(id), d);
            product(context, back, [fed, d, rows], layer.z(0, 0).t(), c, None, dw, true)?;
        }
        Ok(())
    }
}

const SHARES: &str =
    concat!(include_str!("../../wgsl/fold.wgsl"), include_str!("../../wgsl/look_shares.wgsl"));
const SHARES_BACKWARD: &str =
    concat!(include_str!("../../wgsl/fold.wgsl"), include_str!("../../wgsl/look_shares_backward.wgsl"));
