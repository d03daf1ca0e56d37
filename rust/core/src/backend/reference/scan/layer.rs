//! What the forward and the backward run of a layer share.

use super::super::Reference;
use super::super::norm::Normed;
use super::super::vectors::{add, dot};
use super::super::work::Work;
use super::weights::Weights;
use crate::cells::{Lanes, Layout, State, Unit};
use crate::float::Float;
use crate::program::{NORM_EPS, Recurrence};
use crate::rng::Kind;

/// A layer in one run.
pub(super) struct Layer<'a, T> {
    pub net: &'a Reference<T>,
    pub scan: &'a Recurrence,
    pub layout: Layout,
    pub weights: Weights<T>,
}

impl<'a, T: Float + Lanes> Layer<'a, T> {
    pub fn new(net: &'a Reference<T>, work: &Work<T>, scan: &'a Recurrence) -> Self {
        Self { net, scan, layout: scan.cell.layout(), weights: Weights::of(net, work, scan) }
    }

    /// Where h and c of a row lie in the state.
    pub fn state(&self, work: &Work<T>, row: usize) -> [std::ops::Range<usize>; 2] {
        let program = &self.net.program;
        [0, 1].map(|part| {
            let width = program.states[self.scan.layer].widths[part];
            let start = program.state_offset(part, self.scan.layer, work.shape.batch) + row * width;
            start..start + width
        })
    }

    /// Factors of h as the products see it.
    pub fn recurrent_mask(&self, work: &Work<T>, row: usize) -> Vec<T> {
        let Recurrence { layer, width, ref noise, .. } = *self.scan;
        work.mask(Kind::RecurrentDropout, layer, noise.recurrent, [0, row], width)
    }

    /// What the cell knows of each unit beside its slots and state.
    pub fn units(&self, work: &Work<T>, row: usize, step: usize) -> Vec<Unit<T>> {
        let Recurrence { layer, hidden, ref noise, .. } = *self.scan;
        let candidate = work.mask(Kind::CandidateDropout, layer, noise.candidate, [step, row], hidden);
        let unit = |u: usize| {
            let mut peephole = [T::ZERO; 3];
            for k in 0..self.layout.peepholes.len() {
                peephole[k] = self.weights.ch[k * hidden + u];
            }
            Unit { peephole, candidate: candidate[u] }
        };
        (0..hidden).map(unit).collect()
    }

    /// Zoneout: the share of the new in h (P) and in c (H), where the layer has it.
    pub fn shares(&self, work: &Work<T>, row: usize, step: usize) -> [Option<Vec<T>>; 2] {
        let Recurrence { layer, width, hidden, ref noise, .. } = *self.scan;
        let share = |kind, p: f64, n| (p > 0.0).then(|| work.shares(kind, layer, p, [step, row], n));
        let [h, c] = noise.zoneout;
        [share(Kind::ZoneoutHidden, h, width), share(Kind::ZoneoutCell, c, hidden)]
    }

    /// Rows of the weights that are normalised together, among those of these gates.
    fn groups(&self, gates: &[usize]) -> Vec<Vec<usize>> {
        let h = self.scan.hidden;
        let rows = |group: &[usize]| group.iter().flat_map(|gate| gate * h..(gate + 1) * h).collect();
        let groups = self.layout.norms.iter().filter(|group| gates.contains(&group[0]));
        if self.scan.weights.norm.is_some() { groups.map(|group| rows(group)).collect() } else { Vec::new() }
    }

    /// Normalises the products of these gates, (G·H).
    pub fn normalise(&self, gates: &[usize], gain: &[T], y: &mut [T]) -> Vec<Normed<T>> {
        let groups = self.groups(gates).into_iter();
        groups
            .map(|rows| {
                let normed = Normed::new(&pick(y, &rows), NORM_EPS);
                rows.iter().zip(&normed.x).for_each(|(&row, &x)| y[row] = x * gain[row]);
                normed
            })
            .collect()
    }

    /// Turns the gradient of the normalised products into that of the products.
    pub fn normalise_backward(
        &self,
        gates: &[usize],
        gain: &[T],
        normed: &[Normed<T>],
        d: &mut [T],
        d_gain: &mut [T],
    ) {
        for (rows, normed) in self.groups(gates).iter().zip(normed) {
            rows.iter().zip(&normed.x).for_each(|(&row, &x)| d_gain[row] += d[row] * x);
            let d_normed: Vec<T> = rows.iter().map(|&row| d[row] * gain[row]).collect();
            rows.iter().zip(normed.backward(&d_normed)).for_each(|(&row, dx)| d[row] = dx);
        }
    }

    /// W_ih x, gate by gate; a token is a one-hot x.
    pub fn input_product(&self, work: &Work<T>, at: usize) -> Vec<T> {
        let input = self.scan.input;
        let width = self.net.program.slots[input].width();
        let rows = self.weights.ih.chunks_exact(width);
        match &work.tokens[input] {
            Some(tokens) => {
                rows.map(|row| usize::try_from(tokens[at]).map_or(T::ZERO, |token| row[token])).collect()
            }
            None => rows.map(|row| dot(row, &work.slots[input][at * width..][..width])).collect(),
        }
    }

    pub fn input_product_backward(&self, work: &mut Work<T>, at: usize, d: &[T], d_ih: &mut [T]) {
        let input = self.scan.input;
        let width = self.net.program.slots[input].width();
        let rows = self.weights.ih.chunks_exact(width).zip(d_ih.chunks_exact_mut(width)).zip(d);
        for ((row, d_row), &d) in rows {
            match &work.tokens[input] {
                Some(tokens) => {
                    if let Ok(token) = usize::try_from(tokens[at]) {
                        d_row[token] += d;
                    }
                }
                None => {
                    add(d_row, d, &work.slots[input][at * width..][..width]);
                    add(&mut work.d_slots[input][at * width..][..width], d, row);
                }
            }
        }
    }

    /// The state as unit `u` has it. Only cells whose h is H wide read it.
    pub fn unit_state(&self, [h, c]: &[Vec<T>; 2], u: usize) -> State<T> {
        let projected = self.scan.weights.hr.is_some();
        let memory = self.scan.cell.has_memory();
        State { h: if projected { T::ZERO } else { h[u] }, c: if memory { c[u] } else { T::ZERO } }
    }
}

/// The numbers at these places.
fn pick<T: Copy>(values: &[T], places: &[usize]) -> Vec<T> {
    places.iter().map(|&place| values[place]).collect()
}
