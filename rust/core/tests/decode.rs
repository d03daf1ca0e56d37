//! Texts drawn token by token, against the reference that reads them whole.

mod common;

use common::{CELLS, stack_of, tolerance};
use seqrs::device::{Element, Isa, Precision, set_num_threads};
use seqrs::float::Float;
use seqrs::layers::Widths;
use seqrs::prelude::*;
use seqrs::sampling::Draw;

const VOCABULARY: usize = 11;
const PROMPTS: [&[i32]; 5] = [&[-1, 3, 7], &[-1], &[-1, 0, 0, 10, 2, 2, 9], &[4], &[-1, 8]];

/// A model with weights far enough from zero for its states to matter.
fn network<T: Element + Float>(model: &LanguageModel, device: Device) -> Network<T> {
    let mut network = Network::<T>::new(model.program().expect("a program"), device, 3).expect("a network");
    let names: Vec<_> = network.program().parameters.iter().map(|p| p.name.clone()).collect();
    for name in names {
        let larger: Vec<T> = network.get(&name).expect("it").iter().map(|&x| x * T::from_f64(1.3)).collect();
        network.set(&name, &larger).expect("the same size");
    }
    network
}

fn model(layers: Recurrent, embedding_size: Option<usize>) -> LanguageModel {
    LanguageModel { vocab_size: VOCABULARY, embedding_size, layers }
}

fn sampler() -> Sampler {
    Sampler::new(VOCABULARY, 1.0, None, None, &[]).expect("a sampler")
}

fn start<'a, T>(prompt: &'a [i32], seed: u64) -> Start<'a, T> {
    Start { prompt, state: None, stop: None, seed }
}

fn texts<T: Element>(network: &Network<T>, n: usize) -> Generator<T> {
    let starts: Vec<_> = PROMPTS.iter().zip(0..).map(|(prompt, seed)| start(prompt, seed)).collect();
    let mut texts = Generator::together(network, &starts, &sampler()).expect("a generator");
    texts.take(network, n).expect("tokens");
    texts
}

/// Log-probabilities and states of drawn texts are those of the reference that reads them whole.
fn check<T: Element + Float>(what: &str, model: &LanguageModel, device: Device) {
    let network = network::<T>(model, device);
    let reference = self::network::<f64>(model, Device::Reference);
    let texts = texts(&network, 12);
    for (number, prompt) in PROMPTS.iter().enumerate() {
        let drawn = texts.drawn(number);
        let mut tokens = prompt.to_vec();
        tokens.extend(drawn.iter().map(|draw| draw.token));
        let last = tokens.pop().expect("a token");
        let run = reference
            .run(&Batch {
                shape: Shape { batch: 1, steps: tokens.len() },
                input: Input::Tokens(&tokens),
                targets: None,
                lengths: None,
                mask: None,
                memory: None,
                start: StartState::Zero,
                training: None,
            })
            .expect("a run");
        tokens.push(last);
        let logits = run.output.chunks_exact(VOCABULARY).skip(prompt.len() - 1);
        for ((draw, logits), &token) in drawn.iter().zip(logits).zip(&tokens[prompt.len()..]) {
            let sum: f64 = logits.iter().map(|x| x.exp()).sum();
            let want = logits[token as usize] - sum.ln();
            let far = (draw.log_prob - want).abs();
            assert!(far < 10.0 * tolerance::<T>(), "{what}, text {number}: {} for {want}", draw.log_prob);
        }
        for (x, want) in texts.state(number).expect("a state").iter().zip(&run.state) {
            let far = (x.to_f64() - want).abs();
            assert!(
                far < 10.0 * tolerance::<T>() * want.abs().max(1.0),
                "{what}, state {number}: {x:?} for {want}"
            );
        }
    }
}

#[test]
fn every_cell_on_every_instruction_set_draws_as_the_reference_reads() {
    for isa in Isa::available() {
        let device = Device::Cpu(isa, Precision::Full);
        for cell in CELLS {
            for embedding in [None, Some(5)] {
                // More units than lanes, and no whole registers of them.
                let model = model(stack_of(cell, 37), embedding);
                check::<f32>(&format!("{cell} {isa:?}"), &model, device);
                check::<f64>(&format!("{cell} {isa:?}"), &model, device);
            }
        }
    }
}

#[test]
fn options_of_a_stack() {
    let lstm = || stack_of(r#"{"cell": "lstm", "form": "current"}"#, 20);
    let plain = || stack_of(r#"{"cell": "lstm", "form": "none"}"#, 20);
    let cases = [
        ("residual", Recurrent { residual: true, num_layers: 3, ..lstm() }),
        ("dropout", Recurrent { dropout: 0.4, ..lstm() }),
        ("widths", Recurrent { hidden_size: Widths::Each(vec![40, 5, 17]), ..lstm() }),
        (
            "noise",
            Recurrent { recurrent_dropout: 0.3, candidate_dropout: 0.2, weight_dropout: 0.1, ..lstm() },
        ),
        ("penalties", Recurrent { activation_penalty: 1.0, temporal_penalty: 1.0, ..lstm() }),
        // These have no decoder of their own.
        ("projection", Recurrent { proj_size: 7, ..lstm() }),
        ("normalised", Recurrent { layer_norm: true, ..plain() }),
        ("zoneout", Recurrent { zoneout: [0.2, 0.3], ..lstm() }),
        ("learned start", Recurrent { learn_initial_state: true, ..lstm() }),
    ];
    for (what, layers) in cases {
        for device in [Device::open("cpu").expect("cpu"), Device::Reference] {
            for embedding in [None, Some(6)] {
                check::<f32>(what, &model(layers.clone(), embedding), device);
            }
        }
    }
}

/// Wide enough for threads to share a step, and a vocabulary for them to share the head.
fn wide(cell: &str) -> Network<f32> {
    let layers = stack_of(cell, 300);
    let model = LanguageModel { vocab_size: 1500, embedding_size: Some(20), layers };
    Network::new(model.program().expect("a program"), Device::open("cpu").expect("cpu"), 3)
        .expect("a network")
}

fn draw_wide(network: &Network<f32>, starts: &[Start<'_, f32>], n: usize) -> Vec<(Vec<Draw>, Vec<f32>)> {
    let sampler = Sampler::new(1500, 1.0, None, None, &[]).expect("a sampler");
    let mut texts = Generator::together(network, starts, &sampler).expect("a generator");
    texts.take(network, n).expect("tokens");
    (0..starts.len()).map(|text| (texts.drawn(text).to_vec(), texts.state(text).expect("a state"))).collect()
}

#[test]
fn a_text_is_the_same_alone_and_among_others_on_any_number_of_threads() {
    for cell in [r#"{"cell": "lstm", "form": "full"}"#, r#"{"cell": "gru", "form": "before"}"#] {
        let network = wide(cell);
        let starts: Vec<_> = (0..21).map(|i| start(PROMPTS[i % PROMPTS.len()], i as u64)).collect();
        set_num_threads(1).expect("threads");
        let alone: Vec<_> = starts.iter().flat_map(|&start| draw_wide(&network, &[start], 40)).collect();
        for threads in [1, 2, 3] {
            set_num_threads(threads).expect("threads");
            assert!(draw_wide(&network, &starts, 40) == alone, "{cell}, together with {threads} threads");
            for (start, alone) in starts.iter().zip(&alone) {
                let again = draw_wide(&network, &[*start], 40);
                assert!(again[0] == *alone, "{cell}, alone with {threads} threads");
            }
        }
    }
}

#[test]
fn pieces_of_a_text_are_the_whole() {
    let network = network::<f32>(&model(stack_of(CELLS[10], 20), None), Device::open("cpu").expect("cpu"));
    let whole = texts(&network, 30);
    let mut pieces = texts(&network, 0);
    let mut tokens = vec![Vec::new(); PROMPTS.len()];
    for n in [1, 0, 7, 22] {
        pieces.take(&network, n).expect("tokens");
        tokens.iter_mut().enumerate().for_each(|(text, tokens)| tokens.extend_from_slice(pieces.drawn(text)));
    }
    for (text, tokens) in tokens.iter().enumerate() {
        assert_eq!(whole.drawn(text), tokens);
    }
}

#[test]
fn a_text_ends_at_its_stop_token_and_the_others_go_on() {
    let network = network::<f32>(&model(stack_of(CELLS[4], 20), Some(4)), Device::open("cpu").expect("cpu"));
    let starts: Vec<_> = PROMPTS
        .iter()
        .cycle()
        .take(20)
        .zip(0..)
        .map(|(prompt, seed)| Start { stop: (seed % 3 != 0).then_some(5), ..start(prompt, seed) })
        .collect();
    let mut texts = Generator::together(&network, &starts, &sampler()).expect("a generator");
    texts.take(&network, 60).expect("tokens");
    let mut ended = 0;
    for (number, start) in starts.iter().enumerate() {
        let mut alone = Generator::new(&network, *start, sampler()).expect("a generator");
        let mut draws = Vec::new();
        while draws.len() < 60 && !alone.done() {
            draws.push(alone.draw(&network).expect("a token"));
        }
        assert_eq!(texts.drawn(number), draws, "text {number}");
        assert_eq!(texts.ended(number), draws.last().is_some_and(|draw| Some(draw.token) == start.stop));
        assert_eq!(texts.state(number).ok(), alone.state(0).ok(), "state of text {number}");
        ended += usize::from(texts.ended(number));
    }
    assert!(ended > 5 && !texts.done());
}

#[test]
fn a_text_goes_on_from_a_state_and_sees_new_weights() {
    let mut network =
        network::<f32>(&model(stack_of(CELLS[11], 20), None), Device::open("cpu").expect("cpu"));
    let first = texts(&network, 9);
    let state = first.state(0).expect("a state");
    let last = first.drawn(0)[8].token;
    let prompt = [last];
    let from = |network: &Network<f32>| {
        let start = Start { state: Some(&state), ..start(&prompt, 7) };
        Generator::new(network, start, sampler()).expect("a generator")
    };
    let mut going_on = texts(&network, 9);
    going_on.take(&network, 1).expect("a token");
    let again = from(&network).draw(&network).expect("a token");
    // Other random numbers, the same distribution.
    let same = going_on.drawn(0)[0];
    assert!(again.token != same.token || again.log_prob == same.log_prob);

    let mut old = from(&network);
    let before = old.draw(&network).expect("a token").log_prob;
    let halves: Vec<f32> = network.get("rnn.weight_ih_l0").expect("it").iter().map(|x| x / 2.0).collect();
    network.set("rnn.weight_ih_l0", &halves).expect("the same size");
    let fresh = from(&network).draw(&network).expect("a token");
    assert_ne!(before, fresh.log_prob);
    // The generator from before has read one token by the old weights and reads the next by the new.
    let mut late = Generator::new(
        &network,
        Start { state: Some(&old.state(0).expect("a state")), ..start(&[again.token], 7) },
        sampler(),
    )
    .expect("a generator");
    let (next, want) = (old.draw(&network).expect("a token"), late.draw(&network).expect("a token"));
    assert!(next.token != want.token || next.log_prob == want.log_prob);
}

/// Mean log-probability of some tokens, read in a batch as scoring does.
fn score<T: Element + Float>(network: &Network<T>) -> f64 {
    let tokens: Vec<i32> = (0..60).map(|i| i * i % VOCABULARY as i32).collect();
    let inputs: Vec<i32> = std::iter::once(-1).chain(tokens.iter().copied()).take(60).collect();
    let run = network
        .log_probs(&Batch {
            shape: Shape { batch: 4, steps: 15 },
            input: Input::Tokens(&inputs),
            targets: Some(&tokens),
            lengths: None,
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: None,
        })
        .expect("log-probabilities");
    run.output.iter().map(|x| x.to_f64()).sum::<f64>() / 60.0
}

#[test]
fn every_cell_with_smaller_weights_is_close_and_the_same_on_every_instruction_set() {
    for cell in CELLS {
        // A hundred terms: no whole number of quads in the second case.
        for (hidden, embedding) in [(48, Some(5)), (37, None)] {
            let model = model(stack_of(cell, hidden), embedding);
            let mut of_bytes = Vec::new();
            for isa in Isa::available() {
                let full = network::<f32>(&model, Device::Cpu(isa, Precision::Full));
                for (precision, close) in [(Precision::Bfloat16, 0.03), (Precision::Int8, 0.06)] {
                    let small = full.at(precision).expect("a copy");
                    let what = format!("{cell} {isa:?} {precision:?}");
                    let (want, got) = (score(&full), score(&small));
                    assert!((got - want).abs() < close, "{what}: {got} for {want}");
                    assert_ne!(got, want, "{what}");
                    let double = network::<f64>(&model, Device::Cpu(isa, Precision::Full));
                    let double = double.at(precision).expect("a copy");
                    assert!((score(&double) - got).abs() < 0.5 * close, "{what} in double precision");
                    // One token after the other is as good as all at once.
                    let texts = texts(&small, 8);
                    let drawn = texts.drawn(2).to_vec();
                    check_read(&what, &small, PROMPTS[2], &drawn);
                }
                of_bytes.push(score(&full.at(Precision::Int8).expect("a copy")));
            }
            // The products are the same; the cells' functions and sums round in their own ways.
            for other in &of_bytes {
                assert!((other - of_bytes[0]).abs() < 5e-3, "{cell}: {of_bytes:?}");
            }
        }
    }
}

/// The log-probabilities of drawn tokens are those of the same network that reads them whole.
fn check_read(what: &str, network: &Network<f32>, prompt: &[i32], drawn: &[Draw]) {
    let tokens: Vec<i32> = prompt.iter().copied().chain(drawn.iter().map(|draw| draw.token)).collect();
    let run = network
        .log_probs(&Batch {
            shape: Shape { batch: 1, steps: tokens.len() - 1 },
            input: Input::Tokens(&tokens[..tokens.len() - 1]),
            targets: Some(&tokens[1..]),
            lengths: None,
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: None,
        })
        .expect("log-probabilities");
    for (draw, want) in drawn.iter().zip(&run.output[prompt.len() - 1..]) {
        assert!((draw.log_prob - f64::from(*want)).abs() < 1e-3, "{what}: {} for {want}", draw.log_prob);
    }
}

#[test]
fn bytes_do_not_learn() {
    let full = network::<f32>(&model(stack_of(CELLS[10], 20), Some(4)), Device::open("cpu").expect("cpu"));
    let mut small = full.at(Precision::Int8).expect("a copy");
    let rule = seqrs::optim::Rule::Sgd { momentum: 0.0 };
    let mut sgd = seqrs::optim::Optimizer::new(rule, 0.0, None, None, small.num_trainable()).expect("sgd");
    let batch = Batch {
        shape: Shape { batch: 1, steps: 2 },
        input: Input::Tokens(&[0, 1]),
        targets: Some(&[1, 2]),
        lengths: None,
        mask: None,
        memory: None,
        start: StartState::Zero,
        training: Some(DropoutKey { seed: 0, step: 0 }),
    };
    let refused = small.train_step(&batch, &mut sgd, 0.1).map(|_| ()).expect_err("no learning");
    assert!(refused.to_string().contains("training with int8 weights"), "{refused}");
    let gradient = vec![0.0; small.num_parameters()];
    assert!(small.apply(&gradient, &mut sgd, 0.1).is_err());
    assert!(
        network::<f32>(&model(stack_of(CELLS[0], 3), None), Device::Reference).at(Precision::Int8).is_err()
    );
}

#[test]
fn weights_that_are_not_finite_are_seen_through_bytes() {
    let mut full = network::<f32>(&model(stack_of(CELLS[0], 20), None), Device::open("cpu").expect("cpu"));
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut weights = full.get("rnn.weight_hh_l0").expect("it");
        weights[5] = wrong;
        full.set("rnn.weight_hh_l0", &weights).expect("the same size");
        let small = full.at(Precision::Int8).expect("a copy");
        let mut text = Generator::new(&small, start(&[-1], 1), sampler()).expect("a generator");
        assert!(text.take(&small, 5).is_err());
    }
}
