//! The reference's backward run equals central differences, in double precision, for every cell and
//! every option: of every parameter, the input, the state at the start, and the language model's loss.

mod common;

use common::{CELLS, Data, Draw, FORMS, LOOKS, MODELS, SETTINGS, attending, cell, fits, outcome, stack_of};
use seqrs::layers::Spec;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Builder, Program, ScanOptions, Slot};

/// The distance of the points of a difference.
const STEP: f64 = 3e-6;

/// Fails unless `analytic` is the gradient of `value`, a function of one number's change.
fn assert_gradient(what: &str, analytic: &[f64], mut value: impl FnMut(usize, f64) -> f64) {
    // Four points: a normalisation bends too much for two.
    let mut slope = |i, h: f64| (value(i, h) - value(i, -h)) / (2.0 * h);
    let mut difference = |i| (4.0 * slope(i, STEP) - slope(i, 2.0 * STEP)) / 3.0;
    let numeric: Vec<f64> = (0..analytic.len()).map(&mut difference).collect();
    let largest = numeric.iter().fold(0.0_f64, |m, n| m.max(n.abs()));
    for (i, (a, n)) in analytic.iter().zip(&numeric).enumerate() {
        assert!((a - n).abs() <= 1e-6 * (largest + 1e-3), "{what}, number {i}: {a} is not {n}");
    }
}

/// A network on the reference; what starts as 0 or 1 everywhere is moved off it.
fn network(program: &Program) -> Network<f64> {
    let mut network = Network::new(program.clone(), Device::Reference, 3).expect("a network");
    let mut draw = Draw::new(11);
    for parameter in program.parameters.iter() {
        let values = network.get(&parameter.name).expect("its numbers");
        let moved: Vec<f64> = values.iter().map(|v| v + 0.4 * draw.share() - 0.2).collect();
        network.set(&parameter.name, &moved).expect("numbers that fit");
    }
    network
}

/// `value` of a network with one number of a parameter changed.
fn nudged<R>(
    network: &mut Network<f64>,
    parameter: &str,
    (i, by): (usize, f64),
    value: impl Fn(&Network<f64>) -> R,
) -> R {
    let values = network.get(parameter).expect("its numbers");
    network.set(parameter, &changed(&values, i, by)).expect("numbers that fit");
    let value = value(network);
    network.set(parameter, &values).expect("numbers that fit");
    value
}

fn changed(values: &[f64], i: usize, by: f64) -> Vec<f64> {
    let mut values = values.to_vec();
    values[i] += by;
    values
}

/// Σ dy ⊙ y + Σ dstate ⊙ state + penalty, which [`Network::backward`] is the gradient of.
fn weighed(network: &Network<f64>, data: &Data<f64>) -> f64 {
    let (run, tape) = network.forward(&data.batch(true)).expect("a batch that fits");
    let sum = |d: &[f64], y: &[f64]| d.iter().zip(y).map(|(d, y)| d * y).sum::<f64>();
    sum(&data.dy, &run.output) + data.dstate.as_deref().map_or(0.0, |d| sum(d, &run.state)) + tape.penalty()
}

/// All gradients of a program for a batch.
fn check(what: &str, program: &Program, data: &Data<f64>) {
    let mut network = network(program);
    for (name, analytic) in outcome(&network, data) {
        let what = format!("{name}, {what}");
        let Some(of) = name.strip_prefix("gradient of ") else { continue };
        match of {
            "the state" => {
                // Without one the run starts from a state that a batch may also bring along.
                let mut start = vec![0.0; analytic.len()];
                let values: Vec<f64> = flat(&network);
                program.initial_state(&values, data.shape.batch, &mut start);
                let start = data.state.clone().unwrap_or(start);
                assert_gradient(&what, &analytic, |i, by| {
                    weighed(&network, &Data { state: Some(changed(&start, i, by)), ..data.clone() })
                });
            }
            "the input" => assert_gradient(&what, &analytic, |i, by| {
                let features = changed(&data.features, i, by);
                weighed(&network, &Data { features, ..data.clone() })
            }),
            "the memory" => assert_gradient(&what, &analytic, |i, by| {
                let mut data = data.clone();
                if let Some((_, _, values, _)) = &mut data.memory {
                    values[i] += by;
                }
                weighed(&network, &data)
            }),
            parameter => assert_gradient(&what, &analytic, |i, by| {
                nudged(&mut network, parameter, (i, by), |network| weighed(network, data))
            }),
        }
    }
}

/// All weights in the order of the buffer.
fn flat(network: &Network<f64>) -> Vec<f64> {
    let mut values = vec![0.0; network.num_parameters()];
    for parameter in network.program().parameters.iter() {
        values[parameter.range.clone()].copy_from_slice(&network.get(&parameter.name).expect("its numbers"));
    }
    values
}

/// A small batch with lengths.
fn data(draw: &mut Draw, program: &Program, tokens: bool) -> Data<f64> {
    let mut data = Data::draw(draw, program, Shape { batch: 3, steps: 5 }, tokens);
    data.lengths = Some(draw.one_of(&[[5, 2, 0], [2, 5, 4], [5, 5, 5]]).to_vec());
    data
}

/// A small batch for layers of a cell, of tokens or of features. At an input and a state of zeros
/// relu has no slope: such a cell is given a state.
fn data_for(cell: &str, draw: &mut Draw, program: &Program) -> Data<f64> {
    let tokens = draw.share() < 0.3;
    let mut data = data(draw, program, tokens);
    if cell.contains("relu") {
        data.state = Some(draw.numbers(data.shape.batch * program.state_width()));
    }
    data
}

#[test]
fn every_cell_with_every_option() {
    for (number, cell) in CELLS.iter().enumerate() {
        for (other, (name, set)) in SETTINGS.iter().enumerate() {
            let mut stack = stack_of(cell, 3);
            set(&mut stack);
            let program = stack.program(3);
            assert_eq!(program.is_ok(), fits(cell, name), "{name} for {cell}: {:?}", program.err());
            let Ok(program) = program else { continue };
            let mut draw = Draw::new((number * SETTINGS.len() + other) as u64);
            check(&format!("{name}, {cell}"), &program, &data_for(cell, &mut draw, &program));
        }
    }
}

#[test]
fn options_together() {
    for seed in 0..80 {
        let mut draw = Draw::new(1000 + seed);
        let cell = draw.one_of(&CELLS);
        let mut stack = stack_of(cell, 3);
        let mut names = Vec::new();
        for (name, set) in SETTINGS.into_iter().filter(|(name, _)| fits(cell, name)) {
            if draw.share() < 0.35 {
                set(&mut stack);
                names.push(name);
            }
        }
        // A kink is never far from a number that normalisation has spread out.
        stack.layer_norm &= !["relu", "hard_sigmoid", "cell_clip"].iter().any(|kink| cell.contains(kink));
        // An output is added to an input of its own width, and a forget gate's start is a bias.
        stack.residual &= !names.contains(&"widths") || stack.proj_size > 0;
        stack.forget_bias = stack.forget_bias.filter(|_| stack.bias);
        let program = stack.program(2).unwrap_or_else(|error| panic!("{error}: {stack:?}"));
        check(&format!("seed {seed}, {stack:?}"), &program, &data_for(cell, &mut draw, &program));
    }
}

#[test]
fn models_of_blocks() {
    for model in MODELS {
        let program = Spec::parse(model).and_then(|spec| spec.program()).expect("a model");
        let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
        for seed in 0..6 {
            check(&format!("seed {seed}, {model}"), &program, &data(&mut Draw::new(seed), &program, tokens));
        }
    }
}

#[test]
fn every_cell_attends_in_every_way() {
    for (number, cell) in CELLS.iter().enumerate() {
        for (other, look) in LOOKS.into_iter().enumerate() {
            let mut draw = Draw::new((number * LOOKS.len() + other) as u64);
            let layer = attending(&mut draw, cell, 3, look);
            let program = layer.program(2).unwrap_or_else(|error| panic!("{error}: {layer:?}"));
            check(&format!("{layer:?}"), &program, &data_for(cell, &mut draw, &program));
        }
    }
}

/// A mean loss over the steps that have a target, for a model of tokens.
///
/// Plain descent at rate 1 moves the weights by their gradient: that is how it is read here.
fn check_loss(what: &str, program: &Program, mask: Option<&[bool]>, scored: f64) {
    let batch = Batch {
        shape: Shape { batch: 3, steps: 4 },
        input: Input::Tokens(&[-1, 4, 0, 2, -1, 3, 3, 1, -1, 0, 0, 0]),
        targets: Some(&[4, 0, -1, 1, 3, 3, 1, 0, 2, 2, 2, 2]),
        lengths: Some(&[4, 3, 0]),
        mask,
        memory: None,
        start: StartState::Zero,
        training: Some(DropoutKey { seed: 2, step: 9 }),
    };
    let mut network = network(program);
    let before = flat(&network);
    let rule = Rule::Sgd { momentum: 0.0 };
    let learn = program.parameters.trainable();
    let mut descent = Optimizer::new(rule, 0.0, None, None, learn).expect("an optimizer");
    let step = network.train_step(&batch, &mut descent, 1.0).expect("a step");
    let after = flat(&network);
    assert_eq!(before[learn..], after[learn..], "{what}: what is frozen");
    let gradient: Vec<f64> = before.iter().zip(&after).map(|(b, a)| b - a).collect();
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!((norm - step.gradient_norm).abs() < 1e-9 * norm, "{norm} is not {}", step.gradient_norm);
    for parameter in program.parameters.iter() {
        network.set(&parameter.name, &before[parameter.range.clone()]).expect("numbers that fit");
    }
    for parameter in program.parameters.iter().filter(|parameter| !parameter.frozen) {
        let gradient = &gradient[parameter.range.clone()];
        assert_gradient(&format!("loss by {}, {what}", parameter.name), gradient, |i, by| {
            nudged(&mut network, &parameter.name, (i, by), |network| {
                let log_probs = network.log_probs(&batch).expect("a batch that fits").output;
                -log_probs.iter().sum::<f64>() / scored
            })
        });
    }
}

#[test]
fn the_loss_of_a_language_model() {
    // Of seven steps within the lengths one has no target, and of the six two are masked.
    let mask = [true, false, true, true, false, true, true, true, true, true, true, true];
    for form in FORMS {
        for embedding_size in [None, Some(3)] {
            let mut layers = Recurrent::new(cell(form), 4, 2);
            layers.dropout = 0.2;
            let model = LanguageModel { vocab_size: 5, embedding_size, layers };
            let program = model.program().expect("a model");
            let what = format!("{form:?}, embedding {embedding_size:?}");
            check_loss(&what, &program, None, 6.0);
            check_loss(&format!("masked, {what}"), &program, Some(&mask), 4.0);
        }
    }
}

#[test]
fn the_loss_of_a_model_with_a_frozen_embedding() {
    let (mut builder, tokens) = Builder::new(Slot::Tokens { vocabulary: 5 }).expect("a builder");
    let x = builder.gather("embedding.", tokens, 3, 0.3, true).expect("an embedding");
    let options = ScanOptions {
        cell: cell(("gru", "after")),
        hidden: 3,
        projection: None,
        bias: true,
        norm: false,
        learn_initial: true,
        noise: Default::default(),
        init: Default::default(),
        forget_bias: None,
        attention: None,
    };
    let h = builder.scan("", "l0", x, &options).expect("a layer");
    let logits = builder.linear("head.", h, 5, true, Some("embedding.weight")).expect("a linear map");
    check_loss("frozen", &builder.finish_with_cross_entropy(logits).expect("a loss"), None, 6.0);
}
