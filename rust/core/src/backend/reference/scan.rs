//! One recurrent layer, step by step and unit by unit.

use super::ops::dot;
use super::{Reference, Work};
use crate::cells::{Cell, Lanes, Layout, Operand, State, Step, Visit};
use crate::float::Float;
use crate::program::{Op, ScanWeights, SlotId};

/// What a layer keeps of a run; places as in a (B, T) array.
pub(super) struct Tape<T> {
    /// The cell's slots, (B, T, H, S).
    z: Vec<T>,
    /// The state before and after each step, (B, T, H).
    prev: [Vec<T>; 2],
    next: [Vec<T>; 2],
    /// r ⊙ h⟨t−1⟩, (B, T, H).
    reset: Vec<T>,
}

/// A layer's sizes and weights.
struct Layer<'a, T> {
    cell: Cell,
    layout: Layout,
    weights: ScanWeights,
    hidden: usize,
    layer: usize,
    input: SlotId,
    out: SlotId,
    net: &'a Reference<T>,
}

impl<'a, T: Float + Lanes> Layer<'a, T> {
    fn new(net: &'a Reference<T>, op: &Op) -> Self {
        let Op::Scan { input, cell, weights, hidden, layer, out } = *op else {
            unreachable!("called for scans only")
        };
        Self { cell, layout: cell.layout(), weights, hidden, layer, input, out, net }
    }

    fn range(&self, operand: Operand) -> std::ops::Range<usize> {
        let id = match operand {
            Operand::C => self.weights.ch.expect("a full peephole has its weight"),
            Operand::H | Operand::ResetH => self.weights.hh,
        };
        self.net.program.parameters.range(id)
    }

    /// One weight a unit of the gates i, f, o; zeros where the cell has none.
    fn peephole(&self, unit: usize) -> [T; 3] {
        let diagonal = !self.layout.products.iter().any(|p| p.operand == Operand::C);
        match self.weights.ch {
            Some(id) if diagonal => {
                let start = self.net.program.parameters.range(id).start;
                [0, 1, 2].map(|gate| self.net.values[start + gate * self.hidden + unit])
            }
            _ => [T::ZERO; 3],
        }
    }
}

pub(super) fn forward<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, op: &Op) {
    let layer = Layer::new(net, op);
    layer.cell.visit(Forward { layer, work });
}

struct Forward<'a, T> {
    layer: Layer<'a, T>,
    work: &'a mut Work<T>,
}

impl<T: Float + Lanes> Visit for Forward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { layer, work } = self;
        let zero = T::ZERO;
        let (net, h, rows) = (layer.net, layer.hidden, work.shape.rows());
        let width = net.program.slots[layer.input].width();
        let values = &net.values;
        let full = || vec![zero; rows * h];
        let mut tape = Tape {
            z: vec![zero; rows * h * S],
            prev: [full(), full()],
            next: [full(), full()],
            reset: full(),
        };
        let offset = [0, 1].map(|part| net.program.state_offset(part, layer.layer, work.shape.batch));

        for (b, _, at) in work.places() {
            let own = |part: usize| offset[part] + b * h..offset[part] + (b + 1) * h;
            tape.prev[0][at * h..][..h].copy_from_slice(&work.state[own(0)]);
            if C::MEMORY {
                tape.prev[1][at * h..][..h].copy_from_slice(&work.state[own(1)]);
            }
            // z = W_ih x + b_ih (+ b_hh below).
            let w = net.program.parameters.range(layer.weights.ih);
            for (slot, &gate) in layer.layout.input.iter().enumerate() {
                for u in 0..h {
                    let row = &values[w.start + (gate * h + u) * width..][..width];
                    let product = match &work.tokens {
                        Some(tokens) if layer.input == net.program.input => {
                            usize::try_from(tokens[at]).map_or(zero, |token| row[token])
                        }
                        _ => dot(row, &work.slots[layer.input][at * width..][..width]),
                    };
                    let bias = layer.weights.bias.map_or(zero, |[ih, _]| {
                        values[net.program.parameters.range(ih).start + gate * h + u]
                    });
                    tape.z[(at * h + u) * S + slot] = product + bias;
                }
            }
            for product in layer.layout.products {
                if product.operand == Operand::ResetH {
                    for u in 0..h {
                        let mut z = read::<T, S>(&tape.z, at * h + u);
                        tape.reset[at * h + u] = cell.reset(&mut z, tape.prev[0][at * h + u]);
                        tape.z[(at * h + u) * S..][..S].copy_from_slice(&z);
                    }
                }
                let w = layer.range(product.operand);
                for (i, &gate) in product.gates.iter().enumerate() {
                    for u in 0..h {
                        let row = &values[w.start + (gate * h + u) * h..][..h];
                        let operand = &operand(&tape, product.operand)[at * h..][..h];
                        let bias = match layer.weights.bias {
                            Some([_, hh]) if product.operand != Operand::C => {
                                values[net.program.parameters.range(hh).start + gate * h + u]
                            }
                            _ => zero,
                        };
                        let sum = dot(row, operand) + bias;
                        tape.z[(at * h + u) * S + product.slot + i] += sum;
                    }
                }
            }
            for u in 0..h {
                let mut z = read::<T, S>(&tape.z, at * h + u);
                let prev = State { h: tape.prev[0][at * h + u], c: tape.prev[1][at * h + u] };
                let next = cell.step(&mut z, prev, &layer.peephole(u));
                tape.z[(at * h + u) * S..][..S].copy_from_slice(&z);
                (tape.next[0][at * h + u], tape.next[1][at * h + u]) = (next.h, next.c);
                work.slots[layer.out][at * h + u] = next.h;
                work.state[offset[0] + b * h + u] = next.h;
                if C::MEMORY {
                    work.state[offset[1] + b * h + u] = next.c;
                }
            }
        }
        work.tapes.push(tape);
    }
}

pub(super) fn backward<T: Float + Lanes>(net: &Reference<T>, work: &mut Work<T>, op: &Op) {
    let layer = Layer::new(net, op);
    layer.cell.visit(Backward { layer, work });
}

struct Backward<'a, T> {
    layer: Layer<'a, T>,
    work: &'a mut Work<T>,
}

impl<T: Float + Lanes> Visit for Backward<'_, T> {
    type Out = ();
    fn visit<const S: usize, C: Step<S>>(self, cell: C) {
        let Self { layer, work } = self;
        let zero = T::ZERO;
        let (net, h) = (layer.net, layer.hidden);
        let width = net.program.slots[layer.input].width();
        let mut tape = work.tapes.pop().expect("a tape for every scan");
        let offset = [0, 1].map(|part| net.program.state_offset(part, layer.layer, work.shape.batch));

        for (b, _, at) in work.places().into_iter().rev() {
            // d_state holds the gradient of the state after this step; it becomes that before it.
            let mut d_prev = [vec![zero; h], vec![zero; h]];
            for u in 0..h {
                let i = at * h + u;
                let mut z = read::<T, S>(&tape.z, i);
                let prev = State { h: tape.prev[0][i], c: tape.prev[1][i] };
                let next = State { h: tape.next[0][i], c: tape.next[1][i] };
                let dh = work.d_state[offset[0] + b * h + u] + work.d_slots[layer.out][i];
                let dc = if C::MEMORY { work.d_state[offset[1] + b * h + u] } else { zero };
                let d = cell.step_backward(&mut z, prev, next, State { h: dh, c: dc }, &layer.peephole(u));
                (d_prev[0][u], d_prev[1][u]) = (d.h, d.c);
                tape.z[i * S..][..S].copy_from_slice(&z);
            }
            for product in layer.layout.products.iter().rev() {
                let w = layer.range(product.operand);
                let mut d_operand = vec![zero; h];
                for (slot, &gate) in product.gates.iter().enumerate() {
                    for u in 0..h {
                        let dz = tape.z[(at * h + u) * S + product.slot + slot];
                        let row = w.start + (gate * h + u) * h;
                        for k in 0..h {
                            d_operand[k] += dz * net.values[row + k];
                            work.gradient[row + k] += dz * operand(&tape, product.operand)[at * h + k];
                        }
                        if let (Some([_, hh]), true) = (layer.weights.bias, product.operand != Operand::C) {
                            work.gradient[net.program.parameters.range(hh).start + gate * h + u] += dz;
                        }
                    }
                }
                for u in 0..h {
                    match product.operand {
                        Operand::H => d_prev[0][u] += d_operand[u],
                        Operand::C => d_prev[1][u] += d_operand[u],
                        Operand::ResetH => {
                            let i = at * h + u;
                            let mut z = read::<T, S>(&tape.z, i);
                            d_prev[0][u] += cell.reset_backward(&mut z, tape.prev[0][i], d_operand[u]);
                            tape.z[i * S..][..S].copy_from_slice(&z);
                        }
                    }
                }
            }
            for u in 0..h {
                work.d_state[offset[0] + b * h + u] = d_prev[0][u];
                if C::MEMORY {
                    work.d_state[offset[1] + b * h + u] = d_prev[1][u];
                }
            }
            let w = net.program.parameters.range(layer.weights.ih);
            let token = match &work.tokens {
                Some(tokens) if layer.input == net.program.input => Some(usize::try_from(tokens[at])),
                _ => None,
            };
            for (slot, &gate) in layer.layout.input.iter().enumerate() {
                for u in 0..h {
                    let dz = tape.z[(at * h + u) * S + slot];
                    let row = w.start + (gate * h + u) * width;
                    match token {
                        Some(Ok(token)) => work.gradient[row + token] += dz,
                        Some(Err(_)) => {}
                        None => {
                            for k in 0..width {
                                work.gradient[row + k] += dz * work.slots[layer.input][at * width + k];
                                work.d_slots[layer.input][at * width + k] += dz * net.values[row + k];
                            }
                        }
                    }
                    if let Some([ih, _]) = layer.weights.bias {
                        work.gradient[net.program.parameters.range(ih).start + gate * h + u] += dz;
                    }
                }
            }
            if let (Cell::Lstm(form), Some(id), true) =
                (layer.cell, layer.weights.ch, layer.layout.products.len() == 1)
            {
                let start = net.program.parameters.range(id).start;
                for u in 0..h {
                    let (before, after) = (tape.prev[1][at * h + u], tape.next[1][at * h + u]);
                    let seen = [before, before, form.output_gate_sees(before, after)];
                    // Slots i, f, o come first and in this order.
                    for gate in 0..3 {
                        work.gradient[start + gate * h + u] += tape.z[(at * h + u) * S + gate] * seen[gate];
                    }
                }
            }
        }
    }
}

fn operand<T>(tape: &Tape<T>, operand: Operand) -> &[T] {
    match operand {
        Operand::H => &tape.prev[0],
        Operand::C => &tape.prev[1],
        Operand::ResetH => &tape.reset,
    }
}

fn read<T: Float, const S: usize>(z: &[T], unit: usize) -> [T; S] {
    std::array::from_fn(|slot| z[unit * S + slot])
}
