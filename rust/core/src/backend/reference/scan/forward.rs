//! Forward through a layer.

use super::super::Reference;
use super::super::norm::Normed;
use super::super::tape::Tape;
use super::super::vectors::{add, dot};
use super::super::work::Work;
use super::layer::Layer;
use crate::cells::{Lanes, Operand, Step, Visit};
use crate::float::Float;
use crate::program::{NORM_EPS, Recurrence, When};

pub(in super::super) fn forward<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, scan: &Recurrence) {
    let layer = Layer::new(net, work, scan);
    scan.cell.visit(Forward { layer, work });
}

struct Forward<'a, T> {
    layer: Layer<'a, T>,
    work: &'a mut Work<T>,
}

impl<T: Float + Lanes> Visit for Forward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { layer, work } = self;
        let Layer { scan, ref layout, weights: ref w, .. } = layer;
        let (h, rows) = (scan.hidden, layout.gates * scan.hidden);
        let all: Vec<usize> = (0..layout.gates).collect();
        for place in work.steps() {
            let state = layer.state(work, place.row);
            let prev = state.clone().map(|part| work.state[part].to_vec());
            let units = layer.units(work, place.row, place.step);
            let mut z = vec![[T::ZERO; S]; h];

            let mut y = layer.input_product(work, place.at);
            let input_norms = layer.normalise(&all, &w.gain_ih, &mut y);
            let mut look = layer.look(work, place, When::Before, &prev[0]);
            if let Some(look) = &look {
                y.iter_mut().zip(layer.sight(&look.context)).for_each(|(y, seen)| *y += seen);
            }
            for (slot, &gate) in layout.input.iter().enumerate() {
                for u in 0..h {
                    z[u][slot] = y[gate * h + u] + w.bias_ih[gate * h + u];
                }
            }

            let mask = layer.recurrent_mask(work, place.row);
            let seen: Vec<T> = prev[0].iter().zip(mask).map(|(&h, m)| h * m).collect();
            let mut reset = Vec::new();
            let mut product_norms = Vec::new();
            for product in layout.products {
                if product.operand == Operand::ResetH {
                    reset = (0..h).map(|u| cell.reset(&mut z[u], seen[u])).collect();
                }
                let (weight, operand) = match product.operand {
                    Operand::H => (&w.hh, &seen),
                    Operand::C => (&w.ch, &prev[1]),
                    Operand::ResetH => (&w.hh, &reset),
                };
                let mut y = vec![T::ZERO; rows];
                for row in product.gates.iter().flat_map(|gate| gate * h..(gate + 1) * h) {
                    y[row] = dot(&weight[row * operand.len()..][..operand.len()], operand);
                }
                // A peephole is neither normalised nor shifted.
                if product.operand == Operand::C {
                    product_norms.push(Vec::new());
                } else {
                    product_norms.push(layer.normalise(product.gates, &w.gain_hh, &mut y));
                    add(&mut y, T::ONE, &w.bias_hh);
                }
                for (slot, &gate) in (product.slot..).zip(product.gates) {
                    (0..h).for_each(|u| z[u][slot] += y[gate * h + u]);
                }
            }

            let mut memory = vec![T::ZERO; h];
            let mut memory_norm = None;
            let mut emitted = vec![T::ZERO; h];
            if w.gain_c.is_empty() {
                for u in 0..h {
                    let next = cell.step(&mut z[u], layer.unit_state(&prev, u), &units[u]);
                    (emitted[u], memory[u]) = (next.h, next.c);
                }
            } else {
                for u in 0..h {
                    memory[u] = cell.memory(&mut z[u], layer.unit_state(&prev, u), &units[u]);
                }
                let normed = memory_norm.insert(Normed::new(&memory, NORM_EPS));
                for u in 0..h {
                    emitted[u] = cell.emit(&z[u], normed.x[u] * w.gain_c[u] + w.bias_c[u]);
                }
            }

            let mut next = [emitted.clone(), memory.clone()];
            if scan.weights.hr.is_some() {
                next[0] = w.hr.chunks_exact(h).map(|row| dot(row, &emitted)).collect();
            }
            for ((share, next), prev) in
                layer.shares(work, place.row, place.step).iter().zip(&mut next).zip(&prev)
            {
                for (i, &k) in share.iter().flatten().enumerate() {
                    next[i] = prev[i] + k * (next[i] - prev[i]);
                }
            }
            look = look.or_else(|| layer.look(work, place, When::After, &next[0]));
            let [h_range, c_range] = state;
            work.slots[scan.out][place.at * scan.width..][..scan.width].copy_from_slice(&next[0]);
            work.state[h_range].copy_from_slice(&next[0]);
            if C::MEMORY {
                work.state[c_range].copy_from_slice(&next[1]);
            }
            let z = z.concat();
            work.tapes.push(Tape {
                prev,
                seen,
                reset,
                z,
                input_norms,
                product_norms,
                memory,
                memory_norm,
                emitted,
                look,
            });
        }
    }
}
