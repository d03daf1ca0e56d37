//! The same bits with any number of threads. One test alone: the number of threads is the
//! process's, and tests of one binary run side by side.

mod common;

use common::{CELLS, Data, Draw, LOOKS, MODELS, SETTINGS, attending, cell, fits, outcome, stack_of};
use seqrs::device::{Element, set_num_threads};
use seqrs::float::Float;
use seqrs::layers::Spec;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Program, Slot};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Large enough that a call is worth a team of threads.
const SHAPE: Shape = Shape { batch: 33, steps: 20 };
const VOCABULARY: usize = 65;

/// What must not depend on the number of threads: losses, norms, states and weights of some
/// training steps with the state carried, then tokens drawn and their log-probabilities.
fn learn_and_write<T: Element + Float>(form: (&str, &str), embedding_size: Option<usize>) -> Vec<u64> {
    learn_and_write_by::<T>(Device::open("cpu").expect("cpu"), form, embedding_size)
}

fn learn_and_write_by<T: Element + Float>(
    device: Device,
    form: (&str, &str),
    embedding_size: Option<usize>,
) -> Vec<u64> {
    let layers = Recurrent { dropout: 0.3, ..Recurrent::new(cell(form), 48, 2) };
    let model = LanguageModel { vocab_size: VOCABULARY, embedding_size, layers };
    let program = model.program().expect("a model");
    let mut network = Network::<T>::new(program, device, 11).expect("a network");
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 };
    let mut adam = Optimizer::new(rule, 0.0, Some(1.0), None, network.num_parameters()).expect("Adam");
    let (mut draw, mut state, mut bits) = (Draw::new(4), None, Vec::new());
    for step in 0..6 {
        let mut tokens = draw.tokens(SHAPE.rows() + 1, VOCABULARY);
        tokens[0] = -1;
        let lengths: Vec<usize> = (0..SHAPE.batch).map(|_| draw.below(SHAPE.steps + 1)).collect();
        let batch = Batch {
            shape: SHAPE,
            input: Input::Tokens(&tokens[..SHAPE.rows()]),
            targets: Some(&tokens[1..]),
            lengths: (step % 2 == 1).then_some(&lengths[..]),
            mask: None,
            memory: None,
            start: state.as_deref().map_or(StartState::Zero, StartState::From),
            training: Some(DropoutKey { seed: 6, step }),
        };
        let done = network.train_step(&batch, &mut adam, 0.01).expect("a step");
        bits.extend([done.loss.to_bits(), done.gradient_norm.to_bits()]);
        state = Some(done.state);
    }
    bits.extend(state.iter().flatten().map(|x| x.to_f64().to_bits()));
    for parameter in network.program().parameters.iter() {
        bits.extend(network.get(&parameter.name).expect("its numbers").iter().map(|x| x.to_f64().to_bits()));
    }
    let start = Start { prompt: &[-1, 3, 7], state: None, stop: None, seed: 8 };
    let sampler = Sampler::new(VOCABULARY, 0.9, Some(40), Some(0.95), &[0]).expect("a sampler");
    let mut generator = Generator::new(&network, start, sampler).expect("a generator");
    for _ in 0..200 {
        let drawn = generator.draw(&network).expect("a token");
        bits.extend([drawn.token as u64, drawn.log_prob.to_bits()]);
    }
    bits
}

/// Forward and backward of a program, as numbers that depend on every bit.
fn run<T: Element + Float>(program: Program) -> Vec<u64> {
    run_on::<T>(program, SHAPE)
}

fn run_on<T: Element + Float>(program: Program, shape: Shape) -> Vec<u64> {
    run_by::<T>(Device::open("cpu").expect("cpu"), program, shape)
}

fn run_by<T: Element + Float>(device: Device, program: Program, shape: Shape) -> Vec<u64> {
    let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
    let data = Data::<T>::draw(&mut Draw::new(9), &program, shape, tokens);
    let network = Network::new(program, device, 2).expect("a network");
    // Of each quantity a number that stands for its bits, of which there are many.
    let digest = |values: &Vec<T>| {
        let mut hasher = DefaultHasher::new();
        values.iter().for_each(|x| x.to_f64().to_bits().hash(&mut hasher));
        hasher.finish()
    };
    outcome(&network, &data).iter().map(|(_, values)| digest(values)).collect()
}

/// A stack that reads numbers.
fn stack(form: (&str, &str)) -> Program {
    let stack = Recurrent { dropout: 0.2, ..Recurrent::new(cell(form), 40, 2) };
    stack.program(30).expect("a stack")
}

/// The same with every option that fits the cell.
fn stack_with_all(cell: &str, hidden: usize) -> Program {
    let mut stack = stack_of(cell, hidden);
    for (name, set) in SETTINGS.iter().filter(|(name, _)| fits(cell, name)) {
        // With another start, or without a bias, there would be less to see.
        if !["widths", "without bias", "forget_bias", "orthogonal"].contains(name) {
            set(&mut stack);
        }
    }
    // Wide as well, where the layer is.
    stack.proj_size = if stack.proj_size > 0 { hidden / 4 } else { 0 };
    stack.program(30).expect("a stack")
}

/// A layer wide enough that threads share the steps of a row alone, with what else such a layer may have.
fn wide(cell: &str) -> Program {
    let mut stack = stack_of(cell, 400);
    let options = ["recurrent_dropout", "candidate_dropout", "zoneout of h", "zoneout of c"];
    for (_, set) in SETTINGS.iter().filter(|(name, _)| options.contains(name) && fits(cell, name)) {
        set(&mut stack);
    }
    stack.program(50).expect("a layer")
}

fn everything() -> Vec<Vec<u64>> {
    let mut all = vec![
        learn_and_write::<f32>(("lstm", "none"), Some(24)),
        learn_and_write::<f32>(("lstm", "full"), None),
        learn_and_write::<f32>(("gru", "before"), Some(24)),
        learn_and_write::<f64>(("gru", "after"), None),
        learn_and_write::<f64>(("rnn", "tanh"), Some(24)),
        run::<f32>(stack(("lstm", "current"))),
        run::<f64>(stack(("gru", "before"))),
    ];
    all.extend(CELLS.into_iter().map(|cell| run::<f32>(stack_with_all(cell, 40))));
    for look in LOOKS {
        let layer = attending(&mut Draw::new(1), CELLS[4], 40, look);
        all.push(run::<f32>(layer.program(30).expect("a layer")));
    }
    // Of a few rows threads share the steps; more of them in all than make one job of the input's gradient.
    let alone = Shape { batch: 1, steps: 70 };
    all.extend(CELLS.into_iter().map(|cell| run_on::<f32>(wide(cell), alone)));
    // Groups go through a wide layer side by side, as many as there are for each thread.
    let groups = Shape { batch: 32, steps: 3 };
    all.extend([0, 4, 5, 10, 11].map(|kind| run_on::<f32>(wide(CELLS[kind]), groups)));
    // Where there are twice as many threads they share the steps of two or four groups.
    let two = Shape { batch: 7, steps: 4 };
    all.extend(CELLS.into_iter().map(|cell| run_on::<f32>(wide(cell), two)));
    all.extend(CELLS.into_iter().map(|cell| run_on::<f32>(stack_with_all(cell, 400), two)));
    for look in LOOKS {
        let layer = attending(&mut Draw::new(1), CELLS[4], 400, look);
        all.push(run_on::<f32>(layer.program(30).expect("a layer"), two));
    }
    for embedding_size in [None, Some(24)] {
        let layers = Recurrent::new(cell(("gru", "before")), 400, 1);
        let model = LanguageModel { vocab_size: VOCABULARY, embedding_size, layers };
        all.push(run_on::<f32>(model.program().expect("a model"), two));
    }
    // Rounded products, which sum in an order of their own.
    let rounded = Device::open("cpu").and_then(|cpu| cpu.with(Precision::Bfloat16)).expect("bfloat16");
    all.push(learn_and_write_by::<f32>(rounded, ("lstm", "none"), Some(24)));
    for cell in CELLS {
        all.push(run_by::<f32>(rounded, stack_with_all(cell, 40), SHAPE));
        all.push(run_by::<f32>(rounded, wide(cell), alone));
    }
    for kind in [5, 10] {
        all.push(run_by::<f32>(rounded, wide(CELLS[kind]), groups));
        all.push(run_by::<f32>(rounded, wide(CELLS[kind]), two));
    }
    let model = |model| Spec::parse(model).and_then(|spec| spec.program()).expect("a model");
    all.extend(MODELS.into_iter().map(|spec| run::<f32>(model(spec))));
    all
}

#[test]
fn the_same_bits_with_1_2_3_and_8_threads() {
    let with = |threads| {
        set_num_threads(threads).expect("threads");
        everything()
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        for (number, (many, one)) in with(threads).iter().zip(&one).enumerate() {
            let differing = many.iter().zip(one).filter(|(m, o)| m != o).count();
            assert_eq!(differing, 0, "numbers that differ with {threads} threads, in case {number}");
        }
    }
}
