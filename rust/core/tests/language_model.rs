//! Language models: the cpu device learns and scores as the reference does, at every path of the
//! chunked cross-entropy; and what they give are probabilities.

mod common;

use common::{Draw, FORMS, assert_close, cell};
use seqrs::device::{Element, Isa};
use seqrs::float::Float;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;

/// V and (B, T). The cpu device keeps up to 2¹⁹ logits of a group of rows at once, and those of 48
/// rows at least: the last two have groups of more.
const CASES: [(usize, Shape); 6] = [
    (1, Shape { batch: 3, steps: 5 }),
    (2, Shape { batch: 5, steps: 7 }),
    (65, Shape { batch: 17, steps: 9 }),
    (1000, Shape { batch: 3, steps: 4 }),
    (1000, Shape { batch: 4, steps: 150 }),
    (12000, Shape { batch: 4, steps: 20 }),
];
const STEPS: u64 = 4;

fn devices() -> Vec<Device> {
    let cpu = |isa| Device::Cpu(isa, Precision::Full);
    Isa::available().into_iter().map(cpu).chain([Device::Reference]).collect()
}

fn model(
    form: (&str, &str),
    vocab_size: usize,
    embedding_size: Option<usize>,
    dropout: f64,
) -> LanguageModel {
    let layers = Recurrent { dropout, ..Recurrent::new(cell(form), 5, 2) };
    LanguageModel { vocab_size, embedding_size, layers }
}

fn network<T: Element>(model: &LanguageModel, device: Device) -> Network<T> {
    Network::new(model.program().expect("a model"), device, 1).expect("a network")
}

/// Losses and norms of some steps with the state carried from each to the next, the weights then,
/// and the scores of the last batch.
fn learn<T: Element + Float>(
    model: &LanguageModel,
    shape: Shape,
    device: Device,
) -> Vec<(&'static str, Vec<T>)> {
    let mut network = network::<T>(model, device);
    let rule = Rule::Sgd { momentum: 0.5 };
    let mut descent = Optimizer::new(rule, 0.0, Some(1.0), None, network.num_parameters()).expect("descent");
    let (mut draw, mut state, mut losses, mut norms) = (Draw::new(7), None, Vec::new(), Vec::new());
    for step in 0..STEPS {
        // Each batch is one step shorter than the one before and runs in its plan.
        let shape = Shape { steps: shape.steps - step as usize, ..shape };
        let (inputs, targets) = (draw.tokens(shape.rows(), model.vocab_size), {
            let mut targets = draw.tokens(shape.rows(), model.vocab_size);
            targets[0] = 0;
            targets
        });
        let mut lengths: Vec<usize> = (0..shape.batch).map(|_| draw.below(shape.steps + 1)).collect();
        lengths[0] = shape.steps;
        let batch = Batch {
            shape,
            input: Input::Tokens(&inputs),
            targets: Some(&targets),
            lengths: (step % 2 == 1).then_some(&lengths[..]),
            mask: None,
            memory: None,
            start: state.as_deref().map_or(StartState::Zero, StartState::From),
            training: Some(DropoutKey { seed: 2, step }),
        };
        let done = network.train_step(&batch, &mut descent, 0.1).expect("a step");
        losses.push(T::from_f64(done.loss));
        norms.push(T::from_f64(done.gradient_norm));
        if step == STEPS - 1 {
            let scores = network.log_probs(&Batch { training: None, ..batch }).expect("scores");
            let weights = network.program().parameters.iter();
            let weights = weights.flat_map(|p| network.get(&p.name).expect("its numbers")).collect();
            return vec![
                ("losses", losses),
                ("norms", norms),
                ("weights", weights),
                ("log-probabilities", scores.output),
                ("state", scores.state),
            ];
        }
        state = Some(done.state);
    }
    Vec::new()
}

fn learns_as_the_reference<T: Element + Float>() {
    for (vocab_size, shape) in CASES {
        for embedding_size in [None, Some(6)] {
            let form = FORMS[(vocab_size + shape.batch) % FORMS.len()];
            let model = model(form, vocab_size, embedding_size, 0.2);
            let want = learn::<T>(&model, shape, Device::Reference);
            for isa in Isa::available() {
                let got = learn::<T>(&model, shape, Device::Cpu(isa, Precision::Full));
                for ((name, got), (_, want)) in got.iter().zip(&want) {
                    let what = format!("{name}, {}, {}, {model:?}, {shape:?}", isa.name(), T::NAME);
                    assert_close(&what, got, want);
                }
            }
        }
    }
}

#[test]
fn float32_learns_as_the_reference_does() {
    learns_as_the_reference::<f32>();
}

#[test]
fn float64_learns_as_the_reference_does() {
    learns_as_the_reference::<f64>();
}

#[test]
fn steps_without_a_target_are_not_scored() {
    for device in devices() {
        let network = network::<f64>(&model(("gru", "after"), 4, Some(3), 0.0), device);
        let batch = Batch {
            shape: Shape { batch: 2, steps: 3 },
            input: Input::Tokens(&[-1, 0, 1, -1, 3, 2]),
            targets: Some(&[0, 1, 2, 3, 2, 1]),
            lengths: None,
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: None,
        };
        let all = network.log_probs(&batch).unwrap().output;
        assert!(all.iter().all(|&p| p < 0.0));
        let some = Batch { targets: Some(&[0, -1, 2, -1, -1, 1]), lengths: Some(&[3, 2]), ..batch };
        let [a, _, c, ..] = all[..] else { panic!("six numbers, got {all:?}") };
        assert_eq!(network.log_probs(&some).unwrap().output, [a, 0.0, c, 0.0, 0.0, 0.0], "{device:?}");
    }
}

#[test]
fn the_loss_is_the_mean_over_what_is_scored() {
    for device in devices() {
        let mut network = network::<f64>(&model(("lstm", "prev"), 4, None, 0.0), device);
        let rule = Rule::Sgd { momentum: 0.0 };
        let mut descent = Optimizer::new(rule, 0.0, None, None, network.num_parameters()).unwrap();
        let batch = Batch {
            shape: Shape { batch: 2, steps: 3 },
            input: Input::Tokens(&[-1, 0, 1, -1, 3, 2]),
            targets: Some(&[0, -1, 2, -1, 2, 1]),
            lengths: Some(&[3, 2]),
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: Some(DropoutKey { seed: 0, step: 0 }),
        };
        let scores = network.log_probs(&batch).unwrap().output;
        let step = network.train_step(&batch, &mut descent, 0.1).unwrap();
        assert!((step.loss + scores.iter().sum::<f64>() / 3.0).abs() < 1e-14, "{device:?}");
        // Where nothing is scored there is nothing to learn.
        let before = network.get("head.bias").unwrap();
        let nothing = Batch { targets: Some(&[-1; 6]), ..batch };
        let step = network.train_step(&nothing, &mut descent, 0.1).unwrap();
        assert_eq!((step.loss, step.gradient_norm), (0.0, 0.0), "{device:?}");
        assert_eq!(network.get("head.bias").unwrap(), before);
    }
}

/// P(y⟨1⟩) P(y⟨2⟩ | y⟨1⟩) P(y⟨3⟩ | y⟨1⟩, y⟨2⟩), summed over all texts of three tokens, is 1.
#[test]
fn the_probabilities_of_all_texts_sum_to_1() {
    let texts: Vec<[i32; 3]> = (0..27).map(|n| [n / 9, n / 3 % 3, n % 3]).collect();
    let inputs: Vec<i32> = texts.iter().flat_map(|&[a, b, _]| [-1, a, b]).collect();
    for device in devices() {
        for form in FORMS {
            for embedding_size in [None, Some(2)] {
                let network = network::<f64>(&model(form, 3, embedding_size, 0.0), device);
                let batch = Batch {
                    shape: Shape { batch: 27, steps: 3 },
                    input: Input::Tokens(&inputs),
                    targets: Some(texts.as_flattened()),
                    lengths: None,
                    mask: None,
                    memory: None,
                    start: StartState::Zero,
                    training: None,
                };
                let scores = network.log_probs(&batch).unwrap().output;
                let total: f64 = scores.chunks(3).map(|text| text.iter().sum::<f64>().exp()).sum();
                assert!((total - 1.0).abs() < 1e-12, "{total}, {form:?} on {device:?}");
            }
        }
    }
}
