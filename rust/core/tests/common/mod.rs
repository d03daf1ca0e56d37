//! Drawn cases, and how two results are held against each other.

// Every test file has this module compiled in and uses its own part of it.
#![allow(dead_code)]

use seqrs::device::Element;
use seqrs::float::Float;
use seqrs::layers::{Merge, Widths};
use seqrs::prelude::*;
use seqrs::program::{AttentionOptions, InitScheme, Memory, Program, Score, When};
use seqrs::rng::{Kind, Stream};
#[cfg(feature = "wgpu")]
use std::io::Write;
#[cfg(feature = "wgpu")]
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every cell in every form.
pub const FORMS: [(&str, &str); 9] = [
    ("rnn", "tanh"),
    ("rnn", "relu"),
    ("gru", "after"),
    ("gru", "before"),
    ("gru", "none"),
    ("lstm", "none"),
    ("lstm", "full"),
    ("lstm", "prev"),
    ("lstm", "current"),
];

pub fn cell(form: (&str, &str)) -> Cell {
    Cell::parse(form.0, form.1).expect("a form that exists")
}

/// Every cell with every option of its own, as in a specification of blocks.
pub const CELLS: [&str; 26] = [
    r#"{"cell": "rnn", "form": "tanh"}"#,
    r#"{"cell": "rnn", "form": "relu"}"#,
    r#"{"cell": "rnn", "form": "hard_sigmoid"}"#,
    r#"{"cell": "rnn", "form": "softsign"}"#,
    r#"{"cell": "gru", "form": "after"}"#,
    r#"{"cell": "gru", "form": "before"}"#,
    r#"{"cell": "gru", "form": "none"}"#,
    r#"{"cell": "gru", "form": "after", "activation": "relu"}"#,
    r#"{"cell": "gru", "form": "before", "activation": "identity"}"#,
    r#"{"cell": "gru", "form": "none", "activation": "sigmoid"}"#,
    r#"{"cell": "lstm", "form": "none"}"#,
    r#"{"cell": "lstm", "form": "full"}"#,
    r#"{"cell": "lstm", "form": "prev"}"#,
    r#"{"cell": "lstm", "form": "current"}"#,
    r#"{"cell": "lstm", "form": "none", "coupled": true}"#,
    r#"{"cell": "lstm", "form": "full", "coupled": true}"#,
    r#"{"cell": "lstm", "form": "prev", "coupled": true}"#,
    r#"{"cell": "lstm", "form": "current", "coupled": true}"#,
    r#"{"cell": "lstm", "form": "none", "cell_clip": 0.2}"#,
    r#"{"cell": "lstm", "form": "current", "coupled": true, "cell_clip": 0.2}"#,
    r#"{"cell": "lstm", "form": "none", "activation": "softsign", "output_activation": "hard_sigmoid"}"#,
    r#"{"cell": "lstm", "form": "current", "activation": "identity", "output_activation": "relu"}"#,
    r#"{"cell": "lstm", "form": "none", "activation": "sigmoid"}"#,
    r#"{"cell": "mingru"}"#,
    r#"{"cell": "minlstm"}"#,
    r#"{"cell": "minlstm", "activation": "tanh"}"#,
];

/// One option of a stack of layers, set to something that matters.
pub type Setting = fn(&mut Recurrent);

/// Every option of a stack by itself.
pub const SETTINGS: [(&str, Setting); 20] = [
    ("without bias", |s| s.bias = false),
    ("dropout", |s| s.dropout = 0.3),
    ("variational dropout", |s| (s.dropout, s.variational) = (0.3, true)),
    ("bidirectional", |s| s.bidirectional = true),
    ("bidirectional sum", |s| (s.bidirectional, s.merge) = (true, Merge::Sum)),
    ("bidirectional mean", |s| (s.bidirectional, s.merge) = (true, Merge::Mean)),
    ("widths", |s| s.hidden_size = Widths::Each(vec![4, 2, 3])),
    ("proj_size", |s| s.proj_size = 2),
    ("residual", |s| s.residual = true),
    ("layer_norm", |s| s.layer_norm = true),
    ("learn_initial_state", |s| s.learn_initial_state = true),
    ("recurrent_dropout", |s| s.recurrent_dropout = 0.3),
    ("candidate_dropout", |s| s.candidate_dropout = 0.3),
    ("weight_dropout", |s| s.weight_dropout = 0.3),
    ("zoneout of h", |s| s.zoneout[0] = 0.4),
    ("zoneout of c", |s| s.zoneout[1] = 0.3),
    ("activation_penalty", |s| s.activation_penalty = 1.7),
    ("temporal_penalty", |s| s.temporal_penalty = 2.3),
    ("orthogonal", |s| s.init = InitScheme::Orthogonal),
    ("forget_bias", |s| s.forget_bias = Some(1.0)),
];

/// Whether the equations of a cell have a place for an option of [`SETTINGS`].
pub fn fits(cell: &str, setting: &str) -> bool {
    let is = |name: &str| cell.contains(&format!("{name:?}"));
    match setting {
        "proj_size" | "zoneout of c" => is("lstm"),
        "forget_bias" => is("lstm") && !is("coupled"),
        "layer_norm" => is("gru") || is("lstm") && is("none"),
        "candidate_dropout" => !is("rnn"),
        "recurrent_dropout" | "weight_dropout" => !is("mingru") && !is("minlstm"),
        _ => true,
    }
}

/// Two layers of a cell of [`CELLS`].
pub fn stack_of(cell: &str, hidden_size: usize) -> Recurrent {
    Recurrent::new(serde_json::from_str(cell).expect("a cell"), hidden_size, 2)
}

/// Every way to attend to a memory.
pub const LOOKS: [(Score, When); 6] = [
    (Score::Additive, When::Before),
    (Score::Additive, When::After),
    (Score::Dot, When::Before),
    (Score::Dot, When::After),
    (Score::General, When::Before),
    (Score::General, When::After),
];

/// A layer of a cell of [`CELLS`] that attends to a memory, with one option of [`SETTINGS`] in five.
pub fn attending(draw: &mut Draw, cell: &str, hidden: usize, (score, when): (Score, When)) -> Recurrent {
    let mut layer = Recurrent { num_layers: 1, ..stack_of(cell, hidden) };
    for (name, set) in SETTINGS.into_iter().filter(|(name, _)| fits(cell, name)) {
        // For one layer in one direction; and without kinks beside normalised numbers.
        let has_place = !name.contains("bidirectional") && name != "widths" && name != "layer_norm";
        if has_place && draw.share() < 0.2 {
            set(&mut layer);
        }
    }
    layer.layer_norm = fits(cell, "layer_norm") && cell.len() < 35 && draw.share() < 0.2;
    layer.forget_bias = layer.forget_bias.filter(|_| layer.bias);
    let width = if layer.proj_size > 0 { layer.proj_size } else { hidden };
    let memory = if score == Score::Dot { width } else { 1 + draw.below(20) };
    layer.attention = Some(AttentionOptions { score, when, memory, size: 1 + draw.below(20) });
    layer
}

/// Models as data, with the options of their blocks.
pub const MODELS: [&str; 18] = [
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "linear", "name": "0", "size": 5, "bias": true, "tied": null},
        {"block": "activation", "kind": "tanh"},
        {"block": "recurrent", "name": "1", "cell": "gru", "form": "after", "hidden_size": 3},
        {"block": "pool", "name": "2", "kind": "mean"},
        {"block": "activation", "kind": "softsign"}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "activation", "kind": "sigmoid"},
        {"block": "linear", "name": "0", "size": 5, "bias": true, "tied": null},
        {"block": "activation", "kind": "sigmoid"}]}"#,
    r#"{"input": {"tokens": 4}, "blocks": [
        {"block": "embedding", "name": "0", "size": 3, "dropout": 0.4},
        {"block": "recurrent", "name": "1", "cell": "gru", "form": "after", "hidden_size": 3},
        {"block": "linear", "name": "2", "size": 4, "bias": true, "tied": "0.weight"}]}"#,
    r#"{"input": {"tokens": 4}, "blocks": [
        {"block": "embedding", "name": "0", "size": 3, "dropout": 0.4, "frozen": true},
        {"block": "recurrent", "name": "1", "cell": "lstm", "form": "current", "hidden_size": [2, 3],
         "bidirectional": true},
        {"block": "linear", "name": "2", "size": 2, "bias": false, "tied": null}]}"#,
    r#"{"input": {"tokens": 3}, "blocks": [
        {"block": "recurrent", "name": "", "cell": "lstm", "form": "none", "hidden_size": 3,
         "bidirectional": true, "layer_norm": true, "merge": "mean"}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "rnn", "form": "tanh", "hidden_size": 3},
        {"block": "pool", "name": "1", "kind": "last"}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "gru", "form": "after", "hidden_size": 3, "bidirectional": true},
        {"block": "pool", "name": "1", "kind": "ends"},
        {"block": "linear", "name": "2", "size": 2, "bias": true, "tied": null}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "gru", "form": "after", "hidden_size": 3},
        {"block": "pool", "name": "1", "kind": "center"},
        {"block": "linear", "name": "2", "size": 2, "bias": true, "tied": null}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "rnn", "form": "tanh", "hidden_size": 3},
        {"block": "pool", "name": "1", "kind": "max+mean"}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "mingru", "form": "", "hidden_size": 3},
        {"block": "pool", "name": "1", "kind": "mean"},
        {"block": "linear", "name": "2", "size": 2, "bias": true, "tied": null}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "gru", "form": "before", "hidden_size": 3},
        {"block": "pool", "name": "1", "kind": "max"},
        {"block": "dropout", "p": 0.4, "variational": false},
        {"block": "layer_norm", "name": "2", "eps": 1e-3},
        {"block": "linear", "name": "3", "size": 2, "bias": true, "tied": null}]}"#,
    r#"{"input": {"features": 2}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "lstm", "form": "none", "hidden_size": 3,
         "activation_penalty": 0.7, "temporal_penalty": 0.9},
        {"block": "pool", "name": "1", "kind": "attention", "size": 4},
        {"block": "linear", "name": "2", "size": 2, "bias": true, "tied": null}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "layer_norm", "name": "0", "eps": 1e-2},
        {"block": "dropout", "p": 0.3, "variational": false},
        {"block": "linear", "name": "1", "size": 4, "bias": true, "tied": null},
        {"block": "dropout", "p": 0.3, "variational": true}]}"#,
    r#"{"input": {"features": 3}, "blocks": [{"block": "pool", "name": "", "kind": "attention", "size": 2}]}"#,
    r#"{"input": {"features": 3}, "blocks": [{"block": "pool", "name": "", "kind": "max"}]}"#,
    r#"{"input": {"features": 3}, "blocks": [
        {"block": "recurrent", "name": "0", "cell": "minlstm", "hidden_size": 3, "activation_penalty": 0.5},
        {"block": "recurrent", "name": "1", "cell": "rnn", "form": "tanh", "hidden_size": 2,
         "temporal_penalty": 0.5, "bidirectional": true}]}"#,
    r#"{"input": {"tokens": 4}, "blocks": [
        {"block": "embedding", "name": "0", "size": 3},
        {"block": "pool", "name": "1", "kind": "mean"}]}"#,
    r#"{"input": {"features": 3}, "blocks": []}"#,
];

/// How far two devices may differ, as a share of a tensor's largest number. They add the same
/// numbers in another order, and an error made early in a long sequence is carried through it.
pub fn tolerance<T: Float>() -> f64 {
    match T::NAME {
        "float32" => 2e-4,
        _ => 2e-11,
    }
}

/// Random numbers one after the other, the same in every run of a test.
pub struct Draw {
    stream: Stream,
    next: u64,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, Kind::Data, 0, 0), next: 0 }
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        self.next += 1;
        self.stream.uniform(self.next)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Numbers from −1 to 1.
    pub fn numbers<T: Float>(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| T::from_f64(2.0 * self.share() - 1.0)).collect()
    }

    /// Tokens of a vocabulary, −1 among them.
    pub fn tokens(&mut self, n: usize, vocabulary: usize) -> Vec<i32> {
        (0..n).map(|_| self.below(vocabulary + 1) as i32 - 1).collect()
    }
}

/// D, S, numbers, and the steps of each row of a memory.
pub type Attended<T> = (usize, usize, Vec<T>, Option<Vec<usize>>);

/// One batch, and the gradients that come back to it from outside.
#[derive(Clone)]
pub struct Data<T> {
    pub shape: Shape,
    pub tokens: Option<Vec<i32>>,
    pub features: Vec<T>,
    pub lengths: Option<Vec<usize>>,
    pub mask: Option<Vec<bool>>,
    pub state: Option<Vec<T>>,
    pub dy: Vec<T>,
    pub dstate: Option<Vec<T>>,
    /// Where the program attends to one.
    pub memory: Option<Attended<T>>,
}

impl<T: Element + Float> Data<T> {
    /// A batch for a program, with lengths, a mask, a state and its gradient in one case of
    /// two each.
    pub fn draw(draw: &mut Draw, program: &Program, shape: Shape, tokens: bool) -> Self {
        let width = |slot: usize| program.slots[slot].width();
        let input = width(program.input);
        let states = shape.batch * program.state_width();
        let pooled = program.slots[program.output].is_pooled();
        let outputs = if pooled { shape.batch } else { shape.rows() };
        Self {
            shape,
            tokens: tokens.then(|| draw.tokens(shape.rows(), input)),
            features: if tokens { Vec::new() } else { draw.numbers(shape.rows() * input) },
            lengths: draw
                .one_of(&[true, false])
                .then(|| (0..shape.batch).map(|_| draw.below(shape.steps + 1)).collect()),
            mask: draw
                .one_of(&[true, false])
                .then(|| (0..shape.rows()).map(|_| draw.share() < 0.7).collect()),
            state: draw.one_of(&[true, false]).then(|| draw.numbers(states)),
            dy: draw.numbers(width(program.output) * outputs),
            dstate: draw.one_of(&[true, false]).then(|| draw.numbers(states)),
            memory: program.memory.map(|width| {
                let steps = draw.one_of(&[0, 1, 2, 5, 17]);
                let lengths = (0..shape.batch).map(|_| draw.below(steps + 1)).collect();
                let lengths = draw.one_of(&[true, false]).then_some(lengths);
                (width, steps, draw.numbers(shape.batch * steps * width), lengths)
            }),
        }
    }

    pub fn batch(&self, training: bool) -> Batch<'_, T> {
        Batch {
            shape: self.shape,
            input: self.tokens.as_deref().map_or(Input::Features(&self.features), Input::Tokens),
            targets: None,
            lengths: self.lengths.as_deref(),
            mask: self.mask.as_deref(),
            memory: self.memory.as_ref().map(|(_, steps, values, lengths)| Memory {
                values,
                steps: *steps,
                lengths: lengths.as_deref(),
                chosen: None,
            }),
            start: self.state.as_deref().map_or(StartState::Zero, StartState::From),
            training: training.then_some(DropoutKey { seed: 5, step: 1 << 33 | 7 }),
        }
    }
}

/// Everything that comes out of a batch, forward and backward, by name.
pub fn outcome<T: Element + Float>(network: &Network<T>, data: &Data<T>) -> Vec<(String, Vec<T>)> {
    let plain = network.run(&data.batch(false)).expect("a batch that fits");
    let (run, mut tape) = network.forward(&data.batch(true)).expect("a batch that fits");
    let penalty = tape.penalty();
    let gradients =
        network.backward(&mut tape, &data.dy, data.dstate.as_deref()).expect("gradients that fit");
    let mut all = vec![
        ("output".to_owned(), plain.output),
        ("state".to_owned(), plain.state),
        ("output in training".to_owned(), run.output),
        ("state in training".to_owned(), run.state),
        ("penalty".to_owned(), vec![T::from_f64(penalty)]),
        ("gradient of the state".to_owned(), gradients.state),
    ];
    all.extend(run.attention.map(|shares| ("attention".to_owned(), shares)));
    all.extend(gradients.memory.map(|d| ("gradient of the memory".to_owned(), d)));
    all.extend(gradients.input.map(|d| ("gradient of the input".to_owned(), d)));
    all.extend(network.program().parameters.iter().map(|parameter| {
        (format!("gradient of {}", parameter.name), gradients.parameters[parameter.range.clone()].to_vec())
    }));
    all
}

/// Fails where a number differs by more than the tolerance.
pub fn assert_close<T: Float>(what: &str, got: &[T], want: &[T]) {
    assert_within(what, got, want, 1.0);
}

/// The same for a tolerance so many times as large.
pub fn assert_within<T: Float>(what: &str, got: &[T], want: &[T], times: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0_f64, |m, w| m.max(w.to_f64().abs()));
    let allowed = times * tolerance::<T>() * (largest + 1e-2);
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g.to_f64() - w.to_f64()).abs();
        assert!(error <= allowed, "{what}, number {i}: {g:?} is not {w:?} ± {allowed:e}");
    }
}

/// Runs tests of this file once more, in a process that cuts its runs on the device into segments of so many
/// steps, as it does with long sequences.
#[cfg(feature = "wgpu")]
pub fn again_in_segments(steps: usize, tests: &[&str]) {
    let this = std::env::current_exe().expect("the file's own program");
    let mut again = std::process::Command::new(this);
    again.arg("--exact").args(tests).env("SEQRS_GPU_MAX_STEPS", steps.to_string());
    let run = again.output().expect("a process");
    let [out, err] = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let all = format!("ok. {} passed", tests.len());
    assert!(run.status.success() && out.contains(&all), "in segments of {steps} steps: {out}{err}");
}

/// The graphics processor, for one test at a time. Without one its tests pass and say so; with
/// `SEQRS_TEST_GPU=require` they fail then.
#[cfg(feature = "wgpu")]
pub fn gpu() -> Option<(Device, MutexGuard<'static, ()>)> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    match Device::open("gpu") {
        Ok(device) => Some((device, one)),
        Err(error) if std::env::var("SEQRS_TEST_GPU").is_ok_and(|wish| wish == "require") => {
            panic!("SEQRS_TEST_GPU=require: {error}")
        }
        Err(error) => {
            // Written past the test harness, which hides what passing tests print.
            writeln!(std::io::stderr(), "skipped, no adapter: {error}").expect("standard error");
            None
        }
    }
}
