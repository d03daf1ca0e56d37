//! The second training step of a shape allocates nothing, nor does drawing a token: every allocation of the process is counted,
//! on all threads. One test alone, since tests of one binary run side by side.

mod common;

use common::{Draw, LOOKS, cell};
use seqrs::device::set_num_threads;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{AttentionOptions, Memory};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what is asked of the caller here is asked of this method's caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above; the block came from the same allocator.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations while `f` runs.
fn count(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    f();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Allocations while `f` runs, the fewest of some runs that end with one of at most `most`. What `f`
/// allocates it allocates every time; what a thread of the team that is only just starting does, one of
/// the last team that is ending, or the test harness, comes once, and late where the machine is busy.
fn fewest(most: usize, mut f: impl FnMut()) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..5 {
        fewest = fewest.min(count(&mut f));
        if fewest <= most {
            break;
        }
    }
    fewest
}

/// Calls counted at a time, after as many to warm up.
const CALLS: usize = 31;

/// Training steps of one model on batches of one shape, ragged or not.
fn training(model: &LanguageModel, shape: Shape, ragged: bool) {
    let program = model.program().expect("a model");
    let mut network = Network::<f32>::new(program, Device::open("cpu").expect("cpu"), 11).expect("a network");
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 };
    let mut adam = Optimizer::new(rule, 0.0, Some(1.0), None, network.num_trainable()).expect("Adam");
    let mut draw = Draw::new(4);
    let tokens = draw.tokens(shape.rows() + 1, model.vocab_size);
    let lengths: Vec<usize> = (0..shape.batch).map(|_| draw.below(shape.steps + 1)).collect();
    let mut step = |number| {
        let batch = Batch {
            shape,
            input: Input::Tokens(&tokens[..shape.rows()]),
            targets: Some(&tokens[1..]),
            lengths: ragged.then_some(&lengths[..]),
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: Some(DropoutKey { seed: 6, step: number }),
        };
        network.train_step(&batch, &mut adam, 0.01).expect("a step");
    };
    let calls = CALLS as u64;
    let first = count(|| step(0));
    assert!(first > 20, "the first step makes its scratch, and allocations are counted");
    (1..calls).for_each(&mut step);
    // A step returns the state in a vector of the caller's own.
    let counted = fewest(CALLS, || (calls..2 * calls).for_each(&mut step));
    assert_eq!(counted, CALLS, "allocations, {shape:?}, {ragged}, {model:?}");
}

/// Forward and backward passes of layers on features: what training loops of one's own do.
fn passes(layers: &Recurrent, shape: Shape) {
    let (inputs, program) = (24, layers.program(24).expect("layers"));
    let network = Network::<f32>::new(program, Device::open("cpu").expect("cpu"), 3).expect("a network");
    let mut draw = Draw::new(5);
    let x: Vec<f32> = draw.numbers(shape.rows() * inputs);
    let attended = network.program().memory.unwrap_or(0);
    let dy: Vec<f32> = draw.numbers(shape.rows() * (32 + attended));
    let values: Vec<f32> = draw.numbers(shape.batch * 7 * attended);
    let memory = (attended > 0).then_some(Memory { values: &values, steps: 7, lengths: None, chosen: None });
    let mut pass = |step| {
        let batch = Batch {
            shape,
            input: Input::Features(&x),
            targets: None,
            lengths: None,
            mask: None,
            memory,
            start: StartState::Zero,
            training: Some(DropoutKey { seed: 6, step }),
        };
        let (_, mut tape) = network.forward(&batch).expect("a run");
        network.backward(&mut tape, &dy, None).expect("the way back");
    };
    let calls = CALLS as u64;
    (0..calls).for_each(&mut pass);
    // Returned: output, state and penalty; three gradients. Of attention its shares, and a gradient.
    let returned = if attended > 0 { 8 } else { 6 };
    let most = returned * CALLS;
    let counted = fewest(most, || (calls..2 * calls).for_each(&mut pass));
    assert!(
        ((returned - 1) * CALLS..=most).contains(&counted),
        "{counted} allocations, {shape:?}, {layers:?}"
    );
}

/// Tokens drawn one by one, once those that there are have been seen.
fn drawing(model: &LanguageModel) {
    let program = model.program().expect("a model");
    let network = Network::<f32>::new(program, Device::open("cpu").expect("cpu"), 11).expect("a network");
    let start = Start { prompt: &[-1, 3], state: None, stop: None, seed: 8 };
    let sampler = Sampler::new(model.vocab_size, 0.9, Some(40), Some(0.95), &[0]).expect("a sampler");
    let mut generator = Generator::new(&network, start, sampler).expect("a generator");
    let mut draw = |_| {
        generator.draw(&network).expect("a token");
    };
    (0..300).for_each(&mut draw);
    let counted = fewest(0, || (300..500).for_each(&mut draw));
    assert_eq!(counted, 0, "allocations in 200 draws of {model:?}");
}

#[test]
fn steps_after_the_first_allocate_nothing() {
    for threads in [1, 2] {
        set_num_threads(threads).expect("threads");
        for form in [("lstm", "none"), ("gru", "after"), ("lstm", "full")] {
            for (embedding_size, dropout) in [(Some(24), 0.0), (None, 0.3), (Some(24), 0.3)] {
                let layers = Recurrent { dropout, ..Recurrent::new(cell(form), 32, 2) };
                let model = LanguageModel { vocab_size: 65, embedding_size, layers };
                for (batch, ragged) in [(1, false), (33, true)] {
                    training(&model, Shape { batch, steps: 12 }, ragged);
                }
                drawing(&model);
            }
            let layers = Recurrent { dropout: 0.3, ..Recurrent::new(cell(form), 32, 2) };
            passes(&layers, Shape { batch: 33, steps: 12 });
        }
        for (score, when) in LOOKS {
            let attention = Some(AttentionOptions { score, when, memory: 32, size: 20 });
            let layers = Recurrent { attention, ..Recurrent::new(cell(("gru", "after")), 32, 1) };
            passes(&layers, Shape { batch: 33, steps: 12 });
        }
        let layers = Recurrent::new(cell(("lstm", "none")), 32, 1);
        let model = LanguageModel { vocab_size: 10_000, embedding_size: Some(16), layers };
        training(&model, Shape { batch: 9, steps: 8 }, false);
    }
    // Twice as many threads as groups share the steps of a wide layer.
    set_num_threads(4).expect("threads");
    for form in [("lstm", "none"), ("gru", "before")] {
        let model = LanguageModel {
            vocab_size: 65,
            embedding_size: Some(24),
            layers: Recurrent::new(cell(form), 400, 1),
        };
        training(&model, Shape { batch: 7, steps: 6 }, true);
    }
}
