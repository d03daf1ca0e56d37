//! A plan is kept from run to run: nothing of one run may be seen in the next.

mod common;

use common::{CELLS, Draw, MODELS, SETTINGS, Setting, fits, outcome, stack_of};
use seqrs::layers::Spec;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Program, Slot};

const DEVICES: [&str; 2] = ["cpu", "reference"];

fn network(program: &Program, device: &str) -> Network<f32> {
    Network::new(program.clone(), Device::open(device).expect("a device"), 3).expect("a network")
}

fn batch<'a>(shape: Shape, input: Input<'a, f32>) -> Batch<'a, f32> {
    let start = StartState::Zero;
    Batch { shape, input, targets: None, lengths: None, mask: None, memory: None, start, training: None }
}

/// A good batch, one with a NaN, and the good one again.
fn after_nan(program: &Program, device: &str) {
    let network = network(program, device);
    let shape = Shape { batch: 3, steps: 4 };
    let good: Vec<f32> = Draw::new(1).numbers(shape.rows() * program.slots[program.input].width());
    let mut bad = good.clone();
    bad[4] = f32::NAN;
    let run = |x: &[f32]| network.run(&batch(shape, Input::Features(x))).expect("a run").output;
    let before = run(&good);
    run(&bad);
    assert_eq!(run(&good), before, "{device}: {:?}", program.ops);
}

#[test]
fn a_run_that_was_not_finite_leaves_nothing() {
    let models =
        MODELS.into_iter().map(|model| Spec::parse(model).and_then(|s| s.program()).expect("a model"));
    let stacks = CELLS.into_iter().map(|cell| {
        let mut stack = stack_of(cell, 5);
        for (name, set) in SETTINGS.into_iter().filter(|(name, _)| fits(cell, name)) {
            if !["widths", "without bias", "proj_size"].contains(&name) {
                set(&mut stack);
            }
        }
        stack.program(3).expect("a stack")
    });
    for program in models.chain(stacks) {
        if matches!(program.slots[program.input], Slot::Features(_)) {
            DEVICES.into_iter().for_each(|device| after_nan(&program, device));
        }
    }
}

/// Recurrent weights so large that twelve steps back overflow and two do not.
fn explosive(program: &Program, device: &str) -> Network<f32> {
    let mut network = network(program, device);
    for parameter in program.parameters.iter() {
        let values = network.get(&parameter.name).expect("its numbers");
        let grown = |x: &f32| match parameter.name.contains("weight_hh") {
            true => x.abs() * 1e6,
            false if parameter.name.contains("bias") => 0.0,
            false => *x,
        };
        network
            .set(&parameter.name, &values.iter().map(grown).collect::<Vec<_>>())
            .expect("numbers that fit");
    }
    network
}

#[test]
fn a_gradient_that_was_not_finite_leaves_nothing() {
    let settings: [Setting; 5] = [
        |_| (),
        |l| l.residual = true,
        |l| (l.residual, l.dropout) = (true, 0.1),
        |l| l.bidirectional = true,
        |l| (l.residual, l.recurrent_dropout, l.zoneout[0]) = (true, 0.1, 0.1),
    ];
    for (device, set) in DEVICES.into_iter().flat_map(|device| settings.map(|set| (device, set))) {
        let mut layers = Recurrent::new(Cell::parse("rnn", "identity").expect("a cell"), 5, 3);
        set(&mut layers);
        let model = LanguageModel { vocab_size: 4, embedding_size: None, layers };
        let program = model.program().expect("a model");
        let rule = Rule::Sgd { momentum: 0.0 };
        let mut still = Optimizer::new(rule, 0.0, None, None, program.parameters.trainable()).expect("SGD");
        let mut step = |network: &mut Network<f32>, tokens: &[i32], targets: &[i32]| {
            let shape = Shape { batch: 2, steps: tokens.len() / 2 };
            let training = Some(DropoutKey { seed: 1, step: 1 });
            let batch = Batch { training, targets: Some(targets), ..batch(shape, Input::Tokens(tokens)) };
            network.train_step(&batch, &mut still, 0.0).expect("a step").gradient_norm
        };
        let mut network = explosive(&program, device);
        assert!(!step(&mut network, &[-1; 24], &[1; 24]).is_finite(), "the case explodes");
        let after = step(&mut network, &[1, 2, 3, 0], &[1, 2, 3, 0]);
        let fresh = step(&mut explosive(&program, device), &[1, 2, 3, 0], &[1, 2, 3, 0]);
        assert!(after.is_finite());
        assert_eq!(after, fresh, "{device}, {:?}", model.layers);
    }
}

#[test]
fn one_network_many_shapes() {
    for seed in 0..60 {
        let mut draw = Draw::new(seed);
        let cell = draw.one_of(&CELLS);
        let mut stack = stack_of(cell, 1 + draw.below(9));
        for (name, set) in SETTINGS.into_iter().filter(|(name, _)| fits(cell, name)) {
            if draw.share() < 0.3 && name != "widths" {
                set(&mut stack);
            }
        }
        stack.forget_bias = stack.forget_bias.filter(|_| stack.bias);
        let program = stack.program(6).expect("a stack");
        let kept = network(&program, "cpu");
        for _ in 0..8 {
            let shape = Shape { batch: draw.one_of(&[0, 3, 3, 9]), steps: draw.below(6) };
            let tokens = draw.one_of(&[true, false]);
            let data = common::Data::draw(&mut draw, &program, shape, tokens);
            let (got, want) = (outcome(&kept, &data), outcome(&network(&program, "cpu"), &data));
            assert_eq!(got, want, "seed {seed}, {shape:?}, tokens: {tokens}, {stack:?}");
        }
    }
}

#[test]
fn a_tape_of_another_network_is_refused() {
    for device in DEVICES {
        let networks = [4, 7].map(|hidden| {
            let stack = Recurrent::new(Cell::parse("gru", "after").expect("a cell"), hidden, 1);
            network(&stack.program(3).expect("a stack"), device)
        });
        let training = Some(DropoutKey { seed: 0, step: 0 });
        let shape = Shape { batch: 1, steps: 2 };
        let batch = Batch { training, ..batch(shape, Input::Features(&[0.5; 6])) };
        let (_, mut tape) = networks[0].forward(&batch).expect("a run");
        let error = networks[1].backward(&mut tape, &[1.0; 14], None).expect_err("a foreign tape");
        assert!(error.to_string().contains("another network's"), "{error}");
    }
}
