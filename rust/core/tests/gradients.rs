//! The reference's backward run equals central differences, in double precision, for every cell
//! form: of every parameter, the input, the state at the start, and the language model's loss.

mod common;

use common::{Data, Draw, FORMS, cell, outcome};
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::Program;

/// Half the distance of the two points of a difference.
const STEP: f64 = 1e-5;

/// Fails unless `analytic` is the gradient of `value`, a function of one number's change.
fn assert_gradient(what: &str, analytic: &[f64], mut value: impl FnMut(usize, f64) -> f64) {
    let numeric: Vec<f64> =
        (0..analytic.len()).map(|i| (value(i, STEP) - value(i, -STEP)) / (2.0 * STEP)).collect();
    let largest = numeric.iter().fold(0.0_f64, |m, n| m.max(n.abs()));
    for (i, (a, n)) in analytic.iter().zip(&numeric).enumerate() {
        assert!((a - n).abs() <= 1e-6 * (largest + 1e-3), "{what}, number {i}: {a} is not {n}");
    }
}

/// A network with one number of its weights changed.
fn nudged(program: &Program, place: usize, by: f64) -> Network<f64> {
    let mut network = Network::new(program.clone(), Device::Reference, 3).expect("a network");
    let parameter = program.parameters.iter().find(|p| p.range.contains(&place)).expect("a parameter");
    let mut values = network.get(&parameter.name).expect("its numbers");
    values[place - parameter.range.start] += by;
    network.set(&parameter.name, &values).expect("numbers that fit");
    network
}

/// Σ dy ⊙ y + Σ dstate ⊙ state, which [`Network::backward`] is the gradient of.
fn weighed(network: &Network<f64>, data: &Data<f64>) -> f64 {
    let (run, _) = network.forward(&data.batch(true)).expect("a batch that fits");
    let sum = |d: &[f64], y: &[f64]| d.iter().zip(y).map(|(d, y)| d * y).sum::<f64>();
    sum(&data.dy, &run.output) + data.dstate.as_deref().map_or(0.0, |d| sum(d, &run.state))
}

fn check_layers(form: (&str, &str), seed: u64) {
    let mut draw = Draw::new(seed);
    let stack = Recurrent {
        cell: cell(form),
        hidden_size: 3,
        num_layers: 2,
        bias: seed.is_multiple_of(2),
        dropout: 0.3,
    };
    let program = stack.program(4).expect("a stack");
    let shape = Shape { batch: 3, steps: 5 };
    let mut data = Data::draw(&mut draw, &program, shape, seed.is_multiple_of(3));
    data.lengths = Some(vec![2, 5, 0]);
    data.state = Some(draw.numbers(shape.batch * program.state_width()));
    data.dstate = Some(draw.numbers(shape.batch * program.state_width()));
    let network = Network::new(program.clone(), Device::Reference, 3).expect("a network");
    for (name, analytic) in outcome(&network, &data) {
        let what = format!("{name}, {form:?}, seed {seed}");
        let Some(of) = name.strip_prefix("gradient of ") else { continue };
        match of {
            "the state" => assert_gradient(&what, &analytic, |i, by| {
                let state = data.state.as_ref().map(|s| changed(s, i, by));
                weighed(&network, &Data { state, ..data.clone() })
            }),
            "the input" => assert_gradient(&what, &analytic, |i, by| {
                let features = changed(&data.features, i, by);
                weighed(&network, &Data { features, ..data.clone() })
            }),
            parameter => {
                let first = program.parameters.find(parameter).expect("a parameter").range.start;
                assert_gradient(&what, &analytic, |i, by| weighed(&nudged(&program, first + i, by), &data));
            }
        }
    }
}

fn changed(values: &[f64], i: usize, by: f64) -> Vec<f64> {
    let mut values = values.to_vec();
    values[i] += by;
    values
}

#[test]
fn layers_of_every_form() {
    for form in FORMS {
        (0..4).for_each(|seed| check_layers(form, seed));
    }
}

/// Plain descent at rate 1 moves the weights by their gradient: that is how it is read here.
fn check_loss(form: (&str, &str), embedding_size: Option<usize>) {
    let layers = Recurrent { cell: cell(form), hidden_size: 4, num_layers: 2, bias: true, dropout: 0.2 };
    let program = LanguageModel { vocab_size: 5, embedding_size, layers }.program().expect("a model");
    let batch = Batch {
        shape: Shape { batch: 3, steps: 4 },
        input: Input::Tokens(&[-1, 4, 0, 2, -1, 3, 3, 1, -1, 0, 0, 0]),
        targets: Some(&[4, 0, -1, 1, 3, 3, 1, 0, 2, 2, 2, 2]),
        lengths: Some(&[4, 3, 0]),
        start: StartState::Zero,
        training: Some(DropoutKey { seed: 2, step: 9 }),
    };
    let mut network = Network::new(program.clone(), Device::Reference, 3).expect("a network");
    let weights = |n: &Network<f64>| -> Vec<f64> {
        program.parameters.iter().flat_map(|p| n.get(&p.name).expect("its numbers")).collect()
    };
    let before = weights(&network);
    let rule = Rule::Sgd { momentum: 0.0 };
    let mut descent = Optimizer::new(rule, 0.0, None, None, network.num_parameters()).expect("an optimizer");
    let step = network.train_step(&batch, &mut descent, 1.0).expect("a step");
    let gradient: Vec<f64> = before.iter().zip(weights(&network)).map(|(b, a)| b - a).collect();
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!((norm - step.gradient_norm).abs() < 1e-9 * norm, "{norm} is not {}", step.gradient_norm);
    // Seven steps are within the lengths, and one of them has no target.
    let scored = 6.0;
    assert_gradient(&format!("loss, {form:?}, embedding {embedding_size:?}"), &gradient, |place, by| {
        let log_probs = nudged(&program, place, by).log_probs(&batch).expect("a batch that fits").output;
        -log_probs.iter().sum::<f64>() / scored
    });
}

#[test]
fn the_loss_of_a_language_model() {
    for form in FORMS {
        check_loss(form, None);
        check_loss(form, Some(3));
    }
}
