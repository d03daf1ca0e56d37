//! Back through a layer: what [`super::forward`] does, from its end to its start.

use super::super::Reference;
use super::super::vectors::add;
use super::super::work::Work;
use super::layer::Layer;
use super::weights::Weights;
use crate::cells::{Lanes, Operand, Seen, State, Step, Visit};
use crate::float::Float;
use crate::program::{Recurrence, When};

pub(in super::super) fn backward<T: Float + Lanes>(
    net: &Reference<T>,
    work: &mut Work<T>,
    scan: &Recurrence,
) {
    let layer = Layer::new(net, work, scan);
    let mut gradient = Weights::zeros(net, scan);
    scan.cell.visit(Backward { layer, work, gradient: &mut gradient });
    gradient.add_to(net, work, scan);
}

struct Backward<'a, T> {
    layer: Layer<'a, T>,
    work: &'a mut Work<T>,
    gradient: &'a mut Weights<T>,
}

impl<T: Float + Lanes> Visit for Backward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { layer, work, gradient: g } = self;
        let Layer { scan, ref layout, weights: ref w, .. } = layer;
        let (h, rows) = (scan.hidden, layout.gates * scan.hidden);
        let all: Vec<usize> = (0..layout.gates).collect();
        for place in work.steps().into_iter().rev() {
            let tape = work.tapes.pop().expect("a tape of every step");
            let state = layer.state(work, place.row);
            let units = layer.units(work, place.row, place.step);
            let mut z: Vec<[T; S]> =
                tape.z.chunks_exact(S).map(|z| std::array::from_fn(|slot| z[slot])).collect();

            // Of the state after the step; for h also from what reads the output.
            let mut d = state.clone().map(|part| work.d_state[part].to_vec());
            add(&mut d[0], T::ONE, &work.d_slots[scan.out][place.at * scan.width..][..scan.width]);
            d[1].resize(h, T::ZERO);
            let d_query = layer.look_backward(work, place, When::After, tape.look.as_ref(), None, g);
            add(&mut d[0], T::ONE, &d_query);
            // Of the state before it, of h as the cell and as the products see it apart.
            let mut d_prev = [vec![T::ZERO; scan.width], vec![T::ZERO; h]];
            let mut d_seen = vec![T::ZERO; scan.width];

            for ((share, d), d_prev) in
                layer.shares(work, place.row, place.step).iter().zip(&mut d).zip(&mut d_prev)
            {
                for (i, &k) in share.iter().flatten().enumerate() {
                    d_prev[i] += (T::ONE - k) * d[i];
                    d[i] *= k;
                }
            }
            let [d_h, mut d_memory] = d;
            let mut d_emitted = d_h.clone();
            if scan.weights.hr.is_some() {
                d_emitted = vec![T::ZERO; h];
                for (p, &d) in d_h.iter().enumerate() {
                    add(&mut d_emitted, d, &w.hr[p * h..][..h]);
                    add(&mut g.hr[p * h..][..h], d, &tape.emitted);
                }
            }

            if let Some(normed) = &tape.memory_norm {
                let mut d_normed = vec![T::ZERO; h];
                for u in 0..h {
                    let seen = normed.x[u] * w.gain_c[u] + w.bias_c[u];
                    let d = cell.emit_backward(&mut z[u], seen, d_emitted[u]);
                    g.gain_c[u] += d * normed.x[u];
                    g.bias_c[u] += d;
                    d_normed[u] = d * w.gain_c[u];
                }
                add(&mut d_memory, T::ONE, &normed.backward(&d_normed));
            }
            for u in 0..h {
                let prev = layer.unit_state(&tape.prev, u);
                let d = if tape.memory_norm.is_some() {
                    cell.memory_backward(&mut z[u], prev, d_memory[u], &units[u])
                } else {
                    let d = State { h: d_emitted[u], c: d_memory[u] };
                    cell.step_backward(&mut z[u], prev, d, &units[u])
                };
                if scan.weights.hr.is_none() {
                    d_prev[0][u] += d.h;
                }
                d_prev[1][u] += d.c;
                for (k, sight) in layout.peepholes.iter().enumerate() {
                    let c = match sight.seen {
                        Seen::Before => tape.prev[1][u],
                        Seen::After => tape.memory[u],
                    };
                    g.ch[k * h + u] += z[u][sight.slot] * c;
                }
            }

            for (product, norms) in layout.products.iter().zip(&tape.product_norms).rev() {
                let mut dy = vec![T::ZERO; rows];
                for (slot, &gate) in (product.slot..).zip(product.gates) {
                    (0..h).for_each(|u| dy[gate * h + u] = z[u][slot]);
                }
                if product.operand != Operand::C {
                    add(&mut g.bias_hh, T::ONE, &dy);
                    layer.normalise_backward(product.gates, &w.gain_hh, norms, &mut dy, &mut g.gain_hh);
                }
                let (weight, d_weight, operand) = match product.operand {
                    Operand::H => (&w.hh, &mut g.hh, &tape.seen),
                    Operand::C => (&w.ch, &mut g.ch, &tape.prev[1]),
                    Operand::ResetH => (&w.hh, &mut g.hh, &tape.reset),
                };
                let n = operand.len();
                let mut d_operand = vec![T::ZERO; n];
                for row in product.gates.iter().flat_map(|gate| gate * h..(gate + 1) * h) {
                    add(&mut d_operand, dy[row], &weight[row * n..][..n]);
                    add(&mut d_weight[row * n..][..n], dy[row], operand);
                }
                match product.operand {
                    Operand::H => add(&mut d_seen, T::ONE, &d_operand),
                    Operand::C => add(&mut d_prev[1], T::ONE, &d_operand),
                    Operand::ResetH => {
                        for u in 0..h {
                            d_seen[u] += cell.reset_backward(&mut z[u], tape.seen[u], d_operand[u]);
                        }
                    }
                }
            }
            let mask = layer.recurrent_mask(work, place.row);
            d_prev[0].iter_mut().zip(&d_seen).zip(mask).for_each(|((d, &seen), m)| *d += m * seen);

            let mut dy = vec![T::ZERO; rows];
            for (slot, &gate) in layout.input.iter().enumerate() {
                (0..h).for_each(|u| dy[gate * h + u] = z[u][slot]);
            }
            add(&mut g.bias_ih, T::ONE, &dy);
            let d_query = layer.look_backward(work, place, When::Before, tape.look.as_ref(), Some(&dy), g);
            add(&mut d_prev[0], T::ONE, &d_query);
            layer.normalise_backward(&all, &w.gain_ih, &tape.input_norms, &mut dy, &mut g.gain_ih);
            layer.input_product_backward(work, place.at, &dy, &mut g.ih);

            let [h_range, c_range] = state;
            work.d_state[h_range].copy_from_slice(&d_prev[0]);
            if C::MEMORY {
                work.d_state[c_range].copy_from_slice(&d_prev[1]);
            }
        }
    }
}
