//! The thread team under use by several threads at once, while it is replaced by others of other sizes.
//! One test alone: the number of threads is the process's.

use seqrs::device::set_num_threads;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Large enough that every step is worth a team.
const SHAPE: Shape = Shape { batch: 24, steps: 16 };

/// Losses of some steps of a model's training, as bits.
fn train(seed: u64) -> Vec<u64> {
    let layers = Recurrent::new(Cell::parse("gru", "after").expect("a cell"), 40, 1);
    let model = LanguageModel { vocab_size: 30, embedding_size: Some(20), layers };
    let program = model.program().expect("a model");
    let mut network =
        Network::<f32>::new(program, Device::open("cpu").expect("cpu"), seed).expect("a network");
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 };
    let mut adam = Optimizer::new(rule, 0.0, Some(1.0), None, network.num_trainable()).expect("Adam");
    let tokens: Vec<i32> = (0..=SHAPE.rows() as i32).map(|i| i * i % 30).collect();
    let steps = (0..60).map(|step| {
        let batch = Batch {
            shape: SHAPE,
            input: Input::Tokens(&tokens[..SHAPE.rows()]),
            targets: Some(&tokens[1..]),
            lengths: None,
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: Some(DropoutKey { seed, step }),
        };
        network.train_step(&batch, &mut adam, 0.01).expect("a step").loss.to_bits()
    });
    steps.collect()
}

#[test]
fn several_threads_train_while_the_team_is_replaced() {
    set_num_threads(2).expect("threads");
    let alone = [1, 2, 3].map(train);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            let sizes = [1, 3, 2, 4].into_iter().cycle();
            sizes.take_while(|_| !done.load(Ordering::Relaxed)).map(set_num_threads).collect::<Vec<_>>()
        });
        let training = [1, 2, 3].map(|seed| scope.spawn(move || train(seed)));
        for (training, alone) in training.into_iter().zip(&alone) {
            assert_eq!(&training.join().expect("a thread that trains"), alone);
        }
        done.store(true, Ordering::Relaxed);
        let replaced = replacing.join().expect("a thread that replaces the team");
        assert!(replaced.len() > 4 && replaced.iter().all(Result::is_ok));
    });
}
