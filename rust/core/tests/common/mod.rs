//! Drawn cases, and how two results are held against each other.

// Every test file has this module compiled in and uses its own part of it.
#![allow(dead_code)]

use seqrs::device::Element;
use seqrs::float::Float;
use seqrs::prelude::*;
use seqrs::program::Program;
use seqrs::rng::{Kind, Stream};

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

/// How far two devices may differ, as a share of a tensor's largest number. They add the same
/// numbers in another order, and an error made early in a long sequence is carried through it.
pub fn tolerance<T: Float>() -> f64 {
    match T::NAME {
        "float32" => 2e-5,
        _ => 2e-13,
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

/// One batch, and the gradients that come back to it from outside.
#[derive(Clone)]
pub struct Data<T> {
    pub shape: Shape,
    pub tokens: Option<Vec<i32>>,
    pub features: Vec<T>,
    pub lengths: Option<Vec<usize>>,
    pub state: Option<Vec<T>>,
    pub dy: Vec<T>,
    pub dstate: Option<Vec<T>>,
}

impl<T: Element + Float> Data<T> {
    /// A batch for a program, with lengths, a state and its gradient in one case of two each.
    pub fn draw(draw: &mut Draw, program: &Program, shape: Shape, tokens: bool) -> Self {
        let width = |slot: usize| program.slots[slot].width();
        let input = width(program.input);
        let states = shape.batch * program.state_width();
        Self {
            shape,
            tokens: tokens.then(|| draw.tokens(shape.rows(), input)),
            features: if tokens { Vec::new() } else { draw.numbers(shape.rows() * input) },
            lengths: draw
                .one_of(&[true, false])
                .then(|| (0..shape.batch).map(|_| draw.below(shape.steps + 1)).collect()),
            state: draw.one_of(&[true, false]).then(|| draw.numbers(states)),
            dy: draw.numbers(shape.rows() * width(program.output)),
            dstate: draw.one_of(&[true, false]).then(|| draw.numbers(states)),
        }
    }

    pub fn batch(&self, training: bool) -> Batch<'_, T> {
        Batch {
            shape: self.shape,
            input: self.tokens.as_deref().map_or(Input::Features(&self.features), Input::Tokens),
            targets: None,
            lengths: self.lengths.as_deref(),
            start: self.state.as_deref().map_or(StartState::Zero, StartState::From),
            training: training.then_some(DropoutKey { seed: 5, step: 1 << 33 | 7 }),
        }
    }
}

/// Everything that comes out of a batch, forward and backward, by name.
pub fn outcome<T: Element + Float>(network: &Network<T>, data: &Data<T>) -> Vec<(String, Vec<T>)> {
    let plain = network.run(&data.batch(false)).expect("a batch that fits");
    let (run, mut tape) = network.forward(&data.batch(true)).expect("a batch that fits");
    let gradients =
        network.backward(&mut tape, &data.dy, data.dstate.as_deref()).expect("gradients that fit");
    let mut all = vec![
        ("output".to_owned(), plain.output),
        ("state".to_owned(), plain.state),
        ("output in training".to_owned(), run.output),
        ("state in training".to_owned(), run.state),
        ("gradient of the state".to_owned(), gradients.state),
    ];
    all.extend(gradients.input.map(|d| ("gradient of the input".to_owned(), d)));
    all.extend(network.program().parameters.iter().map(|parameter| {
        (format!("gradient of {}", parameter.name), gradients.parameters[parameter.range.clone()].to_vec())
    }));
    all
}

/// Fails where a number differs by more than the tolerance.
pub fn assert_close<T: Float>(what: &str, got: &[T], want: &[T]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0_f64, |m, w| m.max(w.to_f64().abs()));
    let allowed = tolerance::<T>() * (largest + 1e-2);
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let error = (g.to_f64() - w.to_f64()).abs();
        assert!(error <= allowed, "{what}, number {i}: {g:?} is not {w:?} ± {allowed:e}");
    }
}
