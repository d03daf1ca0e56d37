//! Recurrent layers on the GPU whose steps are several calls, against the reference.
#![cfg(feature = "wgpu")]

mod common;

use common::*;
use seqrs::prelude::*;
use seqrs::program::{Program, Score, When};

/// Weights that start at 0 or 1 everywhere are moved off it: nothing may cancel.
fn network(program: &Program, device: Device) -> Network<f32> {
    let mut network = Network::<f32>::new(program.clone(), device, 1).expect("a network");
    let mut draw = Draw::new(12);
    for parameter in program.parameters.iter().filter(|p| p.shape.len() == 1) {
        let values = network.get(&parameter.name).expect("its numbers");
        let moved: Vec<f32> = values.iter().map(|&v| v + (0.4 * draw.share() - 0.2) as f32).collect();
        network.set(&parameter.name, &moved).expect("numbers that fit");
    }
    network
}

/// A share of the tolerance between devices that add in any order.
const CLOSE: f64 = 0.1;

/// Options that go together with any other, each drawn in one case of three.
const OTHERS: [&str; 9] = [
    "without bias",
    "recurrent_dropout",
    "candidate_dropout",
    "weight_dropout",
    "zoneout of h",
    "zoneout of c",
    "learn_initial_state",
    "proj_size",
    "bidirectional",
];

/// Shapes with nothing in them, small ones, and one whose sums are cut and whose rows take a workgroup's
/// threads more than once.
const SIZES: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [3, 4, 5, 7], [5, 9, 17, 33], [2, 2, 3, 520], [2, 0, 3, 3], [0, 2, 3, 3]];

fn hold(device: Device, draw: &mut Draw, stack: &Recurrent, [batch, steps, input]: [usize; 3]) {
    let program = stack.program(input).expect("a stack");
    let tokens = draw.share() < 0.3;
    let mut data = Data::<f32>::draw(draw, &program, Shape { batch, steps }, tokens);
    if let Some((width, steps, values, Some(lengths))) = &mut data.memory {
        // What is behind the steps of a row is nobody's concern.
        for (row, &length) in lengths.iter().enumerate() {
            values[(row * *steps + length) * *width..(row + 1) * *steps * *width].fill(f32::NAN);
        }
    }
    let want = outcome(&network(&program, Device::Reference), &data);
    let got = outcome(&network(&program, device), &data);
    assert_eq!(got.len(), want.len());
    for ((name, got), (_, want)) in got.iter().zip(&want) {
        assert_within(&format!("{name} of {stack:?}, {:?}", data.shape), got, want, CLOSE);
    }
}

/// Every cell that has an option, with others drawn.
fn each_cell(option: &str) {
    let Some((device, _one)) = gpu() else { return };
    for (number, cell) in CELLS.into_iter().enumerate().filter(|(_, cell)| fits(cell, option)) {
        let mut draw = Draw::new(number as u64);
        for [batch, steps, input, hidden] in SIZES {
            let mut stack = stack_of(cell, hidden);
            stack.num_layers = 1;
            for (name, set) in SETTINGS {
                let other = OTHERS.contains(&name) && fits(cell, name) && draw.share() < 0.3;
                if name == option || other {
                    set(&mut stack);
                }
            }
            hold(device, &mut draw, &stack, [batch, steps, input]);
        }
    }
}

#[test]
fn projections() {
    each_cell("proj_size");
}

#[test]
fn layer_normalisation() {
    each_cell("layer_norm");
}

#[test]
fn attention() {
    let Some((device, _one)) = gpu() else { return };
    let mut draw = Draw::new(7);
    for (number, cell) in CELLS.into_iter().enumerate() {
        for (k, look) in LOOKS.into_iter().enumerate() {
            let [batch, steps, input, hidden] = SIZES[(number + k) % SIZES.len()];
            let stack = attending(&mut draw, cell, hidden.min(180), look);
            hold(device, &mut draw, &stack, [batch, steps, input]);
        }
    }
}

#[test]
fn segments() {
    again_in_segments(3, &["projections", "layer_normalisation", "attention", "memories_in_turn"]);
}

/// Batches of one shape whose memories are of several lengths, one after the other on the same network; and each
/// again, to the same bits.
#[test]
fn memories_in_turn() {
    let Some((device, _one)) = gpu() else { return };
    let mut draw = Draw::new(8);
    let look = (Score::Additive, When::Before);
    let program = attending(&mut draw, CELLS[4], 6, look).program(3).expect("a stack");
    let networks = [device, Device::Reference].map(|device| network(&program, device));
    for steps in [2, 5, 2, 0, 5] {
        let mut data = Data::<f32>::draw(&mut draw, &program, Shape { batch: 3, steps: 4 }, false);
        let width = program.memory.expect("a memory");
        data.memory = Some((width, steps, draw.numbers(3 * steps * width), None));
        let [got, want] = networks.each_ref().map(|network| outcome(network, &data));
        for ((name, got), (_, want)) in got.iter().zip(&want) {
            assert_within(&format!("{name} with {steps} steps of a memory"), got, want, CLOSE);
        }
        // Nothing is added up in an order of its own.
        assert_eq!(outcome(&networks[0], &data), got);
        let [got, want] = networks.each_ref().map(|network| {
            let batch = data.batch(false);
            let prepared = network.prepare(&batch.memory.expect("one"), 3).expect("a memory that fits");
            let memory = Some(prepared.of(&[2, 0, 2]));
            network.run(&Batch { memory, ..batch }).expect("a batch that fits").output
        });
        assert_within(&format!("rows of {steps} prepared steps"), &got, &want, CLOSE);
    }
}
