//! The graphics processor computes what the plain loops of the reference compute, forward and backward; and
//! what a user sees of training and drawing is what the processor gives.
//!
//! Without an adapter these tests pass and say so; with `SEQRS_TEST_GPU=require` they fail then.

#![cfg(feature = "wgpu")]

mod common;

use common::{CELLS, Data, Draw, MODELS, SETTINGS, again_in_segments, fits, gpu, outcome, stack_of};
use seqrs::Error;
use seqrs::layers::Spec;
use seqrs::network::Outcome;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Builder, FinalState, Pooling, Program, Slot};
use seqrs::rng::{Kind, Stream};

/// How far a number may be from the reference's, both in single precision: forward absolutely, gradients as
/// a share of the largest of their tensor.
const FORWARD: f64 = 5e-6;
const BACKWARD: f64 = 1e-5;

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

/// Fails where results differ by more than what is allowed, times `times`.
fn assert_near(what: &str, got: &[(String, Vec<f32>)], want: &[(String, Vec<f32>)], times: f64) {
    for ((name, got), (_, want)) in got.iter().zip(want) {
        assert_eq!(got.len(), want.len(), "{name}, {what}");
        let largest = want.iter().fold(0.0_f64, |m, &w| m.max(f64::from(w).abs()));
        let gradient = name.starts_with("gradient");
        let allowed = times * if gradient { BACKWARD * (largest + 1e-2) } else { FORWARD * largest.max(1.0) };
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            let error = (f64::from(g) - f64::from(w)).abs();
            assert!(error <= allowed, "{name}, {what}, number {i}: {g:?} is not {w:?} ± {allowed:e}");
        }
    }
}

/// A program on the device and on the reference.
fn check(device: Device, what: &str, program: &Program, data: &Data<f32>, times: f64) {
    // The normalisation of a few numbers that are almost equal multiplies an error, at every step.
    let normalises = program.parameters.iter().any(|p| p.name.contains("gain_hh"));
    let times = if normalises { 10.0 * times } else { times };
    let want = outcome(&network(program, Device::Reference), data);
    let got = outcome(&network(program, device), data);
    assert_near(&format!("{what}, {:?}", data.shape), &got, &want, times);
}

fn model(text: &str) -> Program {
    Spec::parse(text).and_then(|spec| spec.program()).expect("a model")
}

/// Ops put together so that no recurrent layer is among them, and slots have no, one and several readers.
fn without_layers() -> Vec<(&'static str, Program)> {
    let features = |width| Builder::new(Slot::Features(width)).expect("a builder");
    let mut all = Vec::new();
    let (mut b, x) = features(3);
    let y = b.reverse(x).and_then(|r| b.concat(r, x)).expect("an op");
    // Read by nobody.
    b.linear("u.", y, 2, true, None).expect("an op");
    let y = b.linear("a.", y, 3, true, None).and_then(|y| b.sum(y, x, 0.5)).expect("an op");
    b.penalty(y, 1.7, 0.0).expect("an op");
    let y = b.dropout(y, 0.3, false).and_then(|y| b.dropout(y, 0.2, true)).expect("an op");
    let y = b.sum(y, y, 2.0).and_then(|y| b.concat(y, y)).expect("an op");
    b.penalty(y, 0.3, 2.3).expect("an op");
    all.push(("reverse, concat, sum, penalties, dropout", b.finish(y)));
    let (mut b, x) = features(17);
    let y = b.layer_norm("n.", x, 1e-3).expect("an op");
    let y = b.attention_pool("p.", y, 5).and_then(|y| b.dropout(y, 0.4, false)).expect("an op");
    let y = b.layer_norm("m.", y, 1e-2).expect("an op");
    all.push(("attention among normalised steps", b.finish(y)));
    for how in
        [Pooling::Last, Pooling::Ends, Pooling::Middle, Pooling::LaterMiddle, Pooling::Mean, Pooling::Max]
    {
        let (mut b, x) = features(36);
        let a = b.pool(x, how).expect("an op");
        let c = b.pool(x, Pooling::Max).expect("an op");
        let y = b.concat(a, c).expect("an op");
        all.push(("two ways to pool", b.finish(y)));
    }
    for (vocabulary, width, p, frozen) in [(1, 1, 0.0, false), (3, 70, 0.4, false), (600, 5, 0.2, true)] {
        let (mut b, x) = Builder::new(Slot::Tokens { vocabulary }).expect("a builder");
        let e = b.gather("e.", x, width, p, frozen).expect("an op");
        let r = b.reverse(e).expect("an op");
        let y = b.concat(e, r).and_then(|y| b.linear("l.", y, 4, false, None)).expect("an op");
        all.push(("an embedding, and its tokens reversed", b.finish(y)));
    }
    all
}

#[test]
fn ops_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    for (number, (what, program)) in without_layers().into_iter().enumerate() {
        let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
        for (batch, steps) in [(0, 3), (1, 1), (2, 0), (5, 7), (17, 65), (3, 700)] {
            for seed in 0..3 {
                let mut draw = Draw::new(10 * number as u64 + seed);
                let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
                check(device, what, &program, &data, 1.0);
            }
        }
    }
}

#[test]
fn models_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    for (number, text) in MODELS.into_iter().enumerate() {
        let program = model(text);
        let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
        for (batch, steps) in [(0, 3), (1, 1), (2, 0), (5, 7), (17, 4), (33, 15)] {
            let mut draw = Draw::new(number as u64);
            let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
            check(device, text, &program, &data, 1.0);
        }
    }
}

/// Two layers of a cell with one option in three on.
fn drawn_stack(draw: &mut Draw, cell: &str, hidden: usize) -> Recurrent {
    let mut stack = stack_of(cell, hidden);
    for (name, set) in SETTINGS {
        if fits(cell, name) && name != "widths" && draw.share() < 0.3 {
            set(&mut stack);
        }
    }
    // Normalised units that are cut off are chaos: see `backends.rs`.
    stack.layer_norm &= !cell.contains("cell_clip");
    stack.forget_bias = stack.forget_bias.filter(|_| stack.bias);
    stack
}

#[test]
fn cells_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    for (number, cell) in CELLS.into_iter().enumerate() {
        let mut draw = Draw::new(number as u64);
        for [batch, steps, input, hidden] in
            [[3, 5, 4, 7], [1, 1, 1, 1], [0, 3, 2, 2], [2, 0, 2, 2], [17, 6, 3, 33]]
        {
            let stack = drawn_stack(&mut draw, cell, hidden);
            let program = stack.program(input).expect("a stack");
            let tokens = draw.one_of(&[true, false]);
            let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
            check(device, &format!("tokens: {tokens}, {stack:?}"), &program, &data, 1.0);
        }
    }
}

/// Around the sizes of workgroups and tiles, and more units than one workgroup has threads for.
#[test]
fn sizes_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    let cells = [r#"{"cell": "lstm", "form": "none"}"#, r#"{"cell": "gru", "form": "before"}"#];
    for (number, cell) in cells.into_iter().enumerate() {
        let sizes = [[65, 2, 64, 63], [64, 3, 65, 64], [2, 67, 5, 65], [5, 3, 31, 131], [3, 2, 2, 257]];
        for [batch, steps, input, hidden] in sizes {
            let mut draw = Draw::new(number as u64);
            let program = stack_of(cell, hidden).program(input).expect("a stack");
            let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, false);
            check(device, &format!("{cell} of {hidden} from {input}"), &program, &data, 2.0);
        }
    }
}

fn batch<'a>(shape: Shape, input: Input<'a, f32>) -> Batch<'a, f32> {
    let start = StartState::Zero;
    Batch { shape, input, targets: None, lengths: None, mask: None, memory: None, start, training: None }
}

/// A software device ends the loops of a thread after 65,535 turns in all, without a word: no sum is longer.
#[test]
fn long_sums_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    // More than 70,000 places in the gradient of a weight, of a bias, of a gain, of a token, and in a mean.
    let (mut b, x) = Builder::new(Slot::Tokens { vocabulary: 2 }).expect("a builder");
    let y = b.gather("e.", x, 2, 0.0, false).and_then(|y| b.layer_norm("n.", y, 1.0)).expect("an op");
    let y = b.linear("l.", y, 2, true, None).and_then(|y| b.pool(y, Pooling::Mean)).expect("an op");
    let program = b.finish(y);
    let shape = Shape { batch: 1, steps: 71_000 };
    let mut data = Data::<f32>::draw(&mut Draw::new(3), &program, shape, true);
    (data.lengths, data.mask) = (None, None);
    // The reference adds in single precision, number after number.
    check(device, "a long text", &program, &data, 300.0);
    // A layer whose steps times its units are more than that.
    let program = stack_of(r#"{"cell": "gru", "form": "after"}"#, 9).program(2).expect("a stack");
    let data = Data::<f32>::draw(&mut Draw::new(4), &program, Shape { batch: 1, steps: 8_000 }, false);
    check(device, "a long layer", &program, &data, 100.0);
}

#[test]
fn segments_equal_the_reference() {
    let tests = [
        "models_equal_the_reference",
        "cells_equal_the_reference",
        "scores_and_states_equal_the_reference",
        "training_follows_the_reference_and_goes_on_elsewhere",
        "steps_read_late_equal_steps_read_at_once",
        "runs_that_are_not_finite_leave_nothing",
        "every_run_gives_the_same_bits_whatever_ran_before",
    ];
    again_in_segments(3, &tests);
    again_in_segments(40, &["ops_equal_the_reference"]);
}

/// A layer whose slots are more than some adapters bind (138 MB): it is cut there without being told to.
#[test]
fn a_large_layer_equals_the_processors() {
    let Some((device, _one)) = gpu() else { return };
    let mut stack = stack_of(r#"{"cell": "mingru"}"#, 64);
    stack.num_layers = 1;
    let program = stack.program(1).expect("a stack");
    let shape = Shape { batch: 270, steps: 1000 };
    let data = Data::<f32>::draw(&mut Draw::new(6), &program, shape, false);
    let of = |device| outcome(&network(&program, device), &data);
    let want = of(Device::open("cpu").expect("a processor"));
    assert_near("a large layer", &of(device), &want, 10.0);
}

#[test]
fn large_numbers_give_no_nan() {
    let Some((device, _one)) = gpu() else { return };
    for cell in [r#"{"cell": "lstm", "form": "none"}"#, r#"{"cell": "gru", "form": "after"}"#] {
        let program = stack_of(cell, 7).program(4).expect("a stack");
        let shape = Shape { batch: 3, steps: 5 };
        let mut data = Data::<f32>::draw(&mut Draw::new(1), &program, shape, false);
        data.features.iter_mut().for_each(|x| *x = 1e4_f32.copysign(*x));
        for (name, values) in outcome(&network(&program, device), &data) {
            assert!(values.iter().all(|x| x.is_finite()), "{name}, {cell}");
        }
    }
}

fn language_model(cell: (&str, &str), embedding_size: Option<usize>) -> Program {
    let layers = Recurrent::new(Cell::parse(cell.0, cell.1).expect("a cell"), 12, 2);
    LanguageModel { vocab_size: 9, embedding_size, layers }.program().expect("a model")
}

/// Tokens and what follows them, some of it not scored.
fn text(shape: Shape) -> (Vec<i32>, Vec<i32>) {
    let mut draw = Draw::new(5);
    let tokens = draw.tokens(shape.rows(), 9);
    let targets = tokens.iter().map(|&t| if t % 4 == 3 { -1 } else { (t + 2) % 9 }).collect();
    (tokens, targets)
}

const RULES: [Rule; 5] = [
    Rule::Sgd { momentum: 0.0 },
    Rule::Sgd { momentum: 0.9 },
    Rule::RmsProp { rho: 0.9, eps: 1e-8 },
    Rule::Adam { betas: (0.9, 0.99), eps: 1e-8 },
    Rule::AdamW { betas: (0.8, 0.99), eps: 1e-6 },
];

fn optimizer(rule: Rule, program: &Program) -> Optimizer<f32> {
    Optimizer::new(rule, 0.01, Some(0.5), Some(0.3), program.parameters.trainable()).expect("an optimiser")
}

/// A step of training: the loss and the gradients' norm.
fn train(network: &mut Network<f32>, optimizer: &mut Optimizer<f32>, step: u64) -> [f64; 2] {
    let shape = Shape { batch: 4, steps: 6 };
    let (tokens, targets) = text(shape);
    let training = Some(DropoutKey { seed: 3, step });
    let batch = Batch { targets: Some(&targets), training, ..batch(shape, Input::Tokens(&tokens)) };
    let done = network.train_step(&batch, optimizer, 0.05).expect("a step");
    [done.loss, done.gradient_norm]
}

#[test]
fn training_follows_the_reference_and_goes_on_elsewhere() {
    let Some((device, _one)) = gpu() else { return };
    for (rule, embedding) in RULES.into_iter().zip([None, Some(5), None, Some(5), None]) {
        let program = language_model(("lstm", "none"), embedding);
        let [mut there, mut here] = [device, Device::Reference].map(|device| network(&program, device));
        let [mut of_there, mut of_here] = [(); 2].map(|()| optimizer(rule, &program));
        for step in 0..5 {
            let got = train(&mut there, &mut of_there, step);
            let want = train(&mut here, &mut of_here, step);
            let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-4 * b.abs().max(1.0);
            assert!(got.into_iter().zip(want).all(near), "{rule:?}, step {step}: {got:?} for {want:?}");
        }
        assert_eq!(of_there.steps(), 5);
        // What the optimiser knows goes from the device to the processor, and back.
        let state = of_there.state().expect("its averages");
        let state: Vec<(&str, &[f32])> = state.iter().map(|(name, values)| (*name, &values[..])).collect();
        let mut moved = optimizer(rule, &program);
        moved.load_state(5, &state).expect("averages that fit");
        let mut same = network(&program, Device::Reference);
        for parameter in program.parameters.iter() {
            same.set(&parameter.name, &there.get(&parameter.name).expect("it")).expect("the same");
        }
        let [on_processor, of_reference] =
            [train(&mut same, &mut moved, 5), train(&mut here, &mut of_here, 5)].map(|[loss, _]| loss);
        assert!((on_processor - of_reference).abs() < 1e-4, "{rule:?}: {on_processor} for {of_reference}");
        let [loss, _] = train(&mut there, &mut moved, 6);
        assert!(loss.is_finite(), "{rule:?}");
    }
}

#[test]
fn what_is_not_finite_changes_nothing() {
    let Some((device, _one)) = gpu() else { return };
    let program = language_model(("gru", "after"), Some(5));
    let mut network = network(&program, device);
    let mut adam = optimizer(RULES[3], &program);
    train(&mut network, &mut adam, 0);
    let all = |network: &Network<f32>| -> Vec<Vec<f32>> {
        program.parameters.iter().map(|p| network.get(&p.name).expect("its numbers")).collect()
    };
    let averages = |adam: &Optimizer<f32>| adam.state().expect("its averages");
    let name = "head.bias";
    let good = network.get(name).expect("a bias");
    for bad in [f32::NAN, f32::INFINITY] {
        let mut broken = good.clone();
        broken[2] = bad;
        network.set(name, &broken).expect("numbers that fit");
        let (weights, known) = (all(&network), averages(&adam));
        let [loss, norm] = train(&mut network, &mut adam, 1);
        assert!(!loss.is_finite() && !norm.is_finite(), "{bad}: {loss} {norm}");
        assert_eq!(format!("{:?}", all(&network)), format!("{weights:?}"), "{bad}");
        assert_eq!((averages(&adam), adam.steps()), (known, 1), "{bad}");
    }
    network.set(name, &good).expect("numbers that fit");
    let [loss, norm] = train(&mut network, &mut adam, 1);
    assert!(loss.is_finite() && norm.is_finite());
}

/// A network whose gradients overflow on the way back from the ends of long texts of −1, where nothing else does.
fn explosive(device: Device) -> Network<f32> {
    let layers = Recurrent::new(Cell::parse("rnn", "identity").expect("a cell"), 5, 2);
    let model = LanguageModel { vocab_size: 4, embedding_size: None, layers };
    let program = model.program().expect("a model");
    let mut network = network(&program, device);
    for parameter in program.parameters.iter() {
        let grown = |x: &f32| match &parameter.name {
            name if name.contains("weight_hh") => x.abs() * 1e6,
            name if name.contains("bias") => 0.0,
            _ => *x,
        };
        let values: Vec<f32> = network.get(&parameter.name).expect("its numbers").iter().map(grown).collect();
        network.set(&parameter.name, &values).expect("numbers that fit");
    }
    network
}

/// Gradients that overflow on their way back although the loss is what it should be.
#[test]
fn gradients_that_are_not_finite_change_nothing() {
    let Some((device, _one)) = gpu() else { return };
    let program = explosive(device).program().clone();
    let step = |network: &mut Network<f32>, tokens: &[i32], targets: &[i32]| {
        let mut sgd = optimizer(RULES[1], &program);
        let shape = Shape { batch: 2, steps: tokens.len() / 2 };
        let training = Some(DropoutKey { seed: 1, step: 1 });
        let batch = Batch { training, targets: Some(targets), ..batch(shape, Input::Tokens(tokens)) };
        let done = network.train_step(&batch, &mut sgd, 0.1).expect("a step");
        (done.loss, done.gradient_norm, sgd.steps())
    };
    let mut network = explosive(device);
    let weight = program.parameters.iter().find(|p| p.name.contains("weight_hh"));
    let name = &weight.expect("a recurrent weight").name;
    let before = network.get(name).expect("its numbers");
    let (loss, norm, steps) = step(&mut network, &[-1; 24], &[1; 24]);
    assert!(loss.is_finite() && !norm.is_finite() && steps == 0, "{loss} {norm} {steps}");
    assert_eq!(network.get(name).expect("its numbers"), before);
    // Nothing of it is left for the next run.
    let [after, fresh] =
        [&mut network, &mut explosive(device)].map(|it| step(it, &[1, 2, 3, 0], &[1, 2, 3, 0]));
    assert!(after.1.is_finite());
    assert_eq!(after, fresh);
}

/// Bits of all weights.
fn weights(network: &Network<f32>) -> Vec<Vec<u32>> {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
    network.program().parameters.iter().map(|p| bits(network.get(&p.name).expect("its numbers"))).collect()
}

/// Steps that nobody looks at come to what they come to otherwise, and their states stay on the device.
#[test]
fn steps_read_late_equal_steps_read_at_once() {
    let Some((device, _one)) = gpu() else { return };
    let program = language_model(("lstm", "none"), Some(5));
    let shape = Shape { batch: 4, steps: 6 };
    let (tokens, targets) = text(shape);
    let given = |step| Batch {
        targets: Some(&targets),
        training: Some(DropoutKey { seed: 3, step }),
        ..batch(shape, Input::Tokens(&tokens))
    };
    let [mut eager, mut late] = [(); 2].map(|()| network(&program, device));
    let [mut of_eager, mut of_late] = [(); 2].map(|()| optimizer(RULES[3], &program));
    let (mut carried, mut held): (Option<Vec<f32>>, Option<FinalState<f32>>) = (None, None);
    let (mut want, mut outcomes) = (Vec::new(), Vec::new());
    for step in 0..37 {
        let start = carried.as_deref().map_or(StartState::Zero, StartState::From);
        let done = eager.train_step(&Batch { start, ..given(step) }, &mut of_eager, 0.05).expect("a step");
        want.push([done.loss, done.gradient_norm]);
        carried = Some(done.state);
        let start = held.as_ref().map_or(StartState::Zero, FinalState::start);
        let (outcome, state) =
            late.learn(&Batch { start, ..given(step) }, &mut of_late, 0.05).expect("a step");
        outcomes.push(outcome);
        // Another run of the same shape has no part in what is carried.
        late.log_probs(&given(step)).expect("scores");
        held = Some(state);
        // The host looks by itself every 16 steps, and only then.
        let known = outcomes.iter().filter(|outcome| outcome.is_known()).count();
        assert_eq!(known, outcomes.len() / 16 * 16);
    }
    let read = |outcome: &Outcome| [outcome.loss().expect("it"), outcome.gradient_norm().expect("it")];
    assert_eq!(outcomes.iter().map(read).collect::<Vec<_>>(), want);
    assert_eq!(held.expect("a state").into_vec().expect("its numbers"), carried.expect("a state"));
    assert_eq!(weights(&late), weights(&eager));
    assert_eq!(
        (of_late.steps(), of_late.state().expect("averages")),
        (37, of_eager.state().expect("averages"))
    );
}

/// After a step that is not finite nothing is learned until somebody has looked: the weights wait as it left them.
#[test]
fn nothing_is_learned_after_a_step_that_is_not_finite() {
    let Some((device, _one)) = gpu() else { return };
    let [mut eager, mut late] = [(); 2].map(|()| explosive(device));
    let [mut of_eager, mut of_late] = [(); 2].map(|()| optimizer(RULES[3], late.program()));
    let (good, bad) = (([1, 2, 3, 0], [1, 2, 3, 0]), ([-1; 24], [1; 24]));
    let given = |good_one: bool| {
        let (tokens, targets): (&[i32], &[i32]) =
            if good_one { (&good.0, &good.1) } else { (&bad.0, &bad.1) };
        let training = Some(DropoutKey { seed: 1, step: 1 });
        let shape = Shape { batch: 2, steps: tokens.len() / 2 };
        Batch { training, targets: Some(targets), ..batch(shape, Input::Tokens(tokens)) }
    };
    let read = |outcome: &Outcome| [outcome.loss().expect("it"), outcome.gradient_norm().expect("it")];
    let mut begun = Vec::new();
    for step in [false, true, true, false] {
        begun.push(late.learn(&given(step), &mut of_late, 1e-3).expect("a step").0);
    }
    begun.clear();
    late.set("head.bias", &late.get("head.bias").expect("a bias")).expect("the same");
    assert_eq!((weights(&late), of_late.steps()), (weights(&eager), 0));
    for step in [true, false, true, true] {
        begun.push(late.learn(&given(step), &mut of_late, 1e-3).expect("a step").0);
    }
    assert_eq!(of_late.steps(), 4, "counted before anyone has looked");
    let mut want = Vec::new();
    for step in [true, false] {
        let done = eager.train_step(&given(step), &mut of_eager, 1e-3).expect("a step");
        want.push([done.loss, done.gradient_norm]);
    }
    // The last one first: it tells what came of all.
    let got: Vec<_> = begun.iter().rev().map(read).collect();
    assert!(want[0][1].is_finite() && !want[1][1].is_finite(), "{want:?}");
    assert_eq!(format!("{:?}", [got[3], got[2]]), format!("{want:?}"));
    assert!(got[0][0].is_finite() && got[..2].iter().all(|[_, norm]| norm.is_nan()), "{got:?}");
    assert_eq!((weights(&late), of_late.steps()), (weights(&eager), of_eager.steps()));
    // Now that it is known, learning goes on.
    late.learn(&given(true), &mut of_late, 1e-3).expect("a step");
    eager.train_step(&given(true), &mut of_eager, 1e-3).expect("a step");
    assert_eq!((weights(&late), of_late.steps()), (weights(&eager), 2));
}

/// What a run with NaN left where another one's steps do not count is nowhere in that.
#[test]
fn runs_that_are_not_finite_leave_nothing() {
    let Some((device, _one)) = gpu() else { return };
    let stacks =
        [r#"{"cell": "lstm", "form": "full"}"#, r#"{"cell": "gru", "form": "before"}"#].map(|cell| {
            let mut stack = stack_of(cell, 5);
            (stack.bidirectional, stack.dropout, stack.temporal_penalty) = (true, 0.2, 0.3);
            stack.program(3).expect("a stack")
        });
    let without = without_layers().into_iter().map(|(_, program)| program);
    let models = MODELS.map(model).into_iter().chain(stacks).chain(without);
    for program in models.filter(|program| matches!(program.slots[program.input], Slot::Features(_))) {
        let mut good = Data::<f32>::draw(&mut Draw::new(2), &program, Shape { batch: 3, steps: 4 }, false);
        (good.lengths, good.mask) = (None, None);
        let mut bad = good.clone();
        bad.features.fill(f32::NAN);
        good.lengths = Some(vec![2, 0, 3]);
        let [used, fresh] = [(); 2].map(|()| network(&program, device));
        outcome(&used, &bad);
        let bits = |network| {
            let bits =
                |(name, values): (String, Vec<f32>)| (name, values.into_iter().map(f32::to_bits).collect());
            outcome(network, &good).into_iter().map(bits).collect::<Vec<(String, Vec<u32>)>>()
        };
        assert_eq!(bits(&used), bits(&fresh), "{:?}", program.ops);
    }
}

#[test]
fn every_run_gives_the_same_bits_whatever_ran_before() {
    let Some((device, _one)) = gpu() else { return };
    let program = model(MODELS[3]);
    let network = network(&program, device);
    let data = |[batch, steps]: [usize; 2]| {
        Data::<f32>::draw(&mut Draw::new(8), &program, Shape { batch, steps }, true)
    };
    let shapes = [[9, 7], [3, 12], [1, 1], [9, 7], [0, 4], [12, 3], [9, 6], [9, 7]];
    let first = outcome(&network, &data(shapes[0]));
    for shape in shapes {
        let again = outcome(&network, &data(shape));
        let alone = outcome(&self::network(&program, device), &data(shape));
        assert_eq!(again, alone, "{shape:?}");
        assert!(shape != shapes[0] || again == first, "{shape:?}");
    }
}

#[test]
fn scores_and_states_equal_the_reference() {
    let Some((device, _one)) = gpu() else { return };
    let program = language_model(("lstm", "current"), None);
    let shape = Shape { batch: 5, steps: 9 };
    let (tokens, targets) = text(shape);
    let batch = Batch {
        targets: Some(&targets),
        lengths: Some(&[9, 0, 3, 8, 1]),
        ..batch(shape, Input::Tokens(&tokens))
    };
    let of = |device| network(&program, device).log_probs(&batch).expect("a run");
    let (got, want) = (of(device), of(Device::Reference));
    let far = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) > FORWARD;
    assert!(!got.output.iter().zip(&want.output).any(far), "{:?} for {:?}", got.output, want.output);
    assert!(!got.state.iter().zip(&want.state).any(far));
}

/// Tokens drawn on the device are those of the processor, where the draw is not at the edge of a choice.
#[test]
fn texts_equal_the_processors() {
    let Some((device, _one)) = gpu() else { return };
    const EDGE: f64 = 1e-4;
    const PROMPTS: [&[i32]; 3] = [&[-1, 3, 7], &[-1], &[2, 0, 0, 8, 1]];
    let program = language_model(("gru", "after"), None);
    let [network, reference] = [device, Device::Reference].map(|device| {
        let mut network = network(&program, device);
        // Far from uniform, and with two tokens that are always just as likely.
        let bias: Vec<f32> = (0..9).map(|i| [0.0, 1.5, -1.0, 0.5][i % 4]).collect();
        network.set("head.bias", &bias).expect("nine numbers");
        network
    });
    for (temperature, k, p, banned) in [
        (1.0, None, None, &[][..]),
        (0.7, Some(4), None, &[3]),
        (1.3, None, Some(0.8), &[]),
        (0.9, Some(7), Some(0.9), &[0, 1]),
        (0.0, None, None, &[1]),
    ] {
        let sampler = |p: Option<f64>| Sampler::new(9, temperature, k, p, banned).expect("a sampler");
        let starts: Vec<_> = PROMPTS
            .into_iter()
            .zip(0..)
            .map(|(prompt, seed)| Start { prompt, state: None, stop: None, seed })
            .collect();
        let mut texts = Generator::together(&network, &starts, &sampler(p)).expect("a generator");
        let mut drawn = vec![Vec::new(); 3];
        for n in [1, 100, 0, 99] {
            texts.take(&network, n).expect("tokens");
            drawn.iter_mut().enumerate().for_each(|(i, all)| all.extend_from_slice(texts.drawn(i)));
        }
        let mut checked = 0;
        for (number, drawn) in drawn.iter().enumerate() {
            assert_eq!(drawn.len(), 200);
            let mut read = PROMPTS[number].to_vec();
            read.extend(drawn[..199].iter().map(|draw| draw.token));
            let shape = Shape { batch: 1, steps: read.len() };
            let run = reference.run(&batch(shape, Input::Tokens(&read))).expect("a run");
            let stream = Stream::new(number as u64, Kind::Sample, 0, 0);
            let logits = run.output.chunks_exact(9).skip(PROMPTS[number].len() - 1);
            for (i, (draw, logits)) in drawn.iter().zip(logits).enumerate() {
                let u = stream.uniform(i as u64);
                let want = sampler(p).draw(logits, u).expect("a draw");
                let sure = [-EDGE, EDGE].iter().all(|d| {
                    let u = (u + d).clamp(0.0, 1.0 - EDGE);
                    let p = p.map(|p| p + d);
                    sampler(p).draw(logits, u).expect("a draw").token == want.token
                });
                if sure {
                    checked += 1;
                    assert_eq!(
                        draw.token, want.token,
                        "draw {i} of text {number} at {temperature} {k:?} {p:?}"
                    );
                }
                let of_token = logits[draw.token as usize] - logits[want.token as usize];
                let far = (draw.log_prob - want.log_prob - f64::from(of_token)).abs();
                assert!(far < 1e-5, "draw {i} of text {number}: {draw:?} for {want:?}");
            }
            for (got, want) in texts.state(number).expect("a state").iter().zip(&run.state) {
                assert!((got - want).abs() < 1e-5, "state {number}: {got} for {want}");
            }
        }
        assert!(checked > 550, "{checked} of 600 draws were sure");
    }
}

/// A text that ends leaves the others alone, and keeps the state in which it ended.
#[test]
fn texts_end_one_by_one() {
    let Some((device, _one)) = gpu() else { return };
    let program = language_model(("lstm", "none"), Some(4));
    let network = network(&program, device);
    let sampler = Sampler::new(9, 1.0, None, None, &[]).expect("a sampler");
    let starts: Vec<_> = (0..7)
        .map(|seed| Start { prompt: &[-1, 2], state: None, stop: Some(seed as i32 % 3), seed })
        .collect();
    let mut texts = Generator::together(&network, &starts, &sampler).expect("a generator");
    texts.take(&network, 70).expect("tokens");
    assert!(texts.done(), "a token of nine in seventy draws");
    for (number, start) in starts.into_iter().enumerate() {
        let drawn = texts.drawn(number).to_vec();
        let ends: Vec<_> = (0..drawn.len()).filter(|&i| Some(drawn[i].token) == start.stop).collect();
        assert_eq!(ends, [drawn.len() - 1], "text {number}");
        // One token at a time, from no prompt but a state.
        let mut alone = Generator::new(&network, start, sampler.clone()).expect("a generator");
        for draw in &drawn {
            let again = alone.draw(&network).expect("a token");
            assert_eq!(again.token, draw.token, "text {number}");
        }
        let states = [&texts, &alone].map(|texts| texts.state(if texts.texts() > 1 { number } else { 0 }));
        let [a, b] = states.map(|state| state.expect("a state"));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "text {number}: {a:?} for {b:?}");
    }
    let broken = vec![f32::NAN; 9];
    let mut network = network;
    network.set("head.bias", &broken).expect("nine numbers");
    let start = Start { prompt: &[-1], state: None, stop: None, seed: 1 };
    let mut text = Generator::new(&network, start, sampler).expect("a generator");
    assert!(matches!(text.draw(&network), Err(Error::NotFinite { .. })));
}
