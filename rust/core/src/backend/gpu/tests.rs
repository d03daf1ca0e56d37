//! Every kernel of every model, checked by wgpu on a device that does nothing: the texts, what they bind,
//! and the sizes of their grids. Whether they compute what they should needs an adapter (tests/gpu.rs).

use super::Gpu;
use super::context::Context;
use super::fit::longest;
use super::ops::recording;
use super::recording::{Recording, Shared, Signature};
use super::run::Work;
use crate::common::{CELLS, Data, Draw, MODELS, SETTINGS, fits, outcome, stack_of};
use crate::device::Device;
use crate::error::{Error, GpuTrouble, Result};
use crate::layers::Spec;
use crate::network::Network;
use crate::optim::{Optimizer, Rule};
use crate::program::{Batch, DropoutKey, FinalState, Input, Program, StartState};
use crate::shape::Shape;
use std::sync::atomic::Ordering;

/// Runs a program forward and back.
fn validate(device: Device, program: Program, tokens: bool, what: &str) {
    let shape = Shape { batch: 3, steps: 5 };
    let data = Data::<f32>::draw(&mut Draw::new(1), &program, shape, tokens);
    let network = Network::new(program, device, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
    outcome(&network, &data);
}

#[test]
fn every_kernel_is_valid() {
    let device = Device::on(Context::noop());
    for cell in CELLS {
        let features = |stack: &crate::layers::Recurrent| stack.program(3).expect("a program");
        validate(device, features(&stack_of(cell, 5)), false, cell);
        for (name, set) in SETTINGS.into_iter().filter(|(name, _)| fits(cell, name)) {
            let mut stack = stack_of(cell, 3);
            set(&mut stack);
            validate(device, features(&stack), false, &format!("{cell}, {name}"));
        }
    }
    for model in MODELS {
        let program = Spec::parse(model).and_then(|spec| spec.program()).expect("a program");
        validate(device, program, model.contains("tokens"), model);
    }
}

#[test]
fn a_step_of_learning_is_valid_by_every_rule() {
    let layers = stack_of(CELLS[10], 4);
    let model = crate::models::LanguageModel { vocab_size: 7, embedding_size: Some(3), layers };
    let program = model.program().expect("a program");
    let rules = [
        Rule::Sgd { momentum: 0.0 },
        Rule::Sgd { momentum: 0.5 },
        Rule::RmsProp { rho: 0.9, eps: 1e-6 },
        Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 },
    ];
    for rule in rules {
        let mut network: Network<f32> =
            Network::new(program.clone(), Device::on(Context::noop()), 0).expect("a network");
        let mut optimizer =
            Optimizer::new(rule, 0.1, Some(1.0), Some(1.0), network.num_trainable()).expect("an optimizer");
        let batch = Batch {
            shape: Shape { batch: 2, steps: 3 },
            input: Input::Tokens(&[-1, 1, 2, 3, 4, 5]),
            targets: Some(&[0, 1, 2, 3, 4, -1]),
            lengths: None,
            mask: None,
            memory: None,
            start: StartState::Zero,
            training: Some(DropoutKey { seed: 1, step: 2 }),
        };
        network.train_step(&batch, &mut optimizer, 0.1).expect("a step");
    }
}

/// The host of a training loop that carries its state waits once every 16 steps.
#[test]
fn the_host_looks_now_and_then() {
    let context = Context::noop();
    let layers = stack_of(CELLS[0], 4);
    let model = crate::models::LanguageModel { vocab_size: 7, embedding_size: None, layers };
    let program = model.program().expect("a program");
    let mut network: Network<f32> = Network::new(program, Device::on(context), 0).expect("a network");
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 };
    let mut adam = Optimizer::new(rule, 0.0, None, None, network.num_trainable()).expect("an optimizer");
    let mut state: Option<FinalState<f32>> = None;
    for step in 0..40 {
        let batch = Batch {
            shape: Shape { batch: 2, steps: 3 },
            input: Input::Tokens(&[-1, 1, 2, 3, 4, 5]),
            targets: Some(&[0, 1, 2, 3, 4, -1]),
            lengths: None,
            mask: None,
            memory: None,
            start: state.as_ref().map_or(StartState::Zero, FinalState::start),
            training: Some(DropoutKey { seed: 1, step }),
        };
        let (_, after) = network.learn(&batch, &mut adam, 0.1).expect("a step");
        state = Some(after);
        assert_eq!(context.reads.load(Ordering::Relaxed), (step as usize + 1) / 16);
    }
}

#[test]
fn a_lost_device_says_so_until_the_end() {
    let context = Context::noop();
    assert!(context.guard(|| Ok(())).is_ok());
    let failed = context.guard(|| -> Result<()> { panic!("of a driver") });
    assert!(failed.expect_err("it panicked").to_string().contains("of a driver"));
    let error = context.guard(|| Ok(())).expect_err("it is lost");
    assert!(matches!(error, Error::Gpu(GpuTrouble::Lost, _)), "{error}");
    let message = error.to_string();
    assert!(message.contains("wgpu panicked: of a driver") && message.contains("reset"), "{message}");
}

#[test]
fn an_invalid_text_is_an_internal_error() {
    let context = Context::noop();
    let made = context.guard(|| Ok(context.kernel("wrong", "fn main() { nonsense }")));
    let error = made.expect_err("no kernel");
    assert!(matches!(error, Error::Gpu(GpuTrouble::Internal, _)), "{error}");
    assert!(error.to_string().contains("wrong"), "{error}");
    // Only once: the next call is another matter.
    assert!(context.guard(|| Ok(())).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let context = Context::noop();
    let most = context.limits.max_storage_buffer_binding_size as usize / 4;
    let error = context.guard(|| context.buffer("hidden states", most + 1)).expect_err("too large");
    assert!(matches!(error, Error::Gpu(GpuTrouble::Memory, _)), "{error}");
    assert!(error.to_string().contains("hidden states takes 128.0 MiB"), "{error}");
}

/// What `of` makes of a network of a program that learns from features, without running it.
fn with<R>(program: &Program, shape: Shape, of: impl Fn(&Gpu, &Shared, Signature) -> Result<R>) -> Result<R> {
    let context = Context::noop();
    context.guard(|| {
        let net = Gpu::new(context, program.clone())?;
        let work = Work::new(&net, Shape { batch: 1, steps: 1 })?;
        let (tokens, learns, scores, starts_itself) = (false, true, false, true);
        of(&net, &work.shared, Signature { shape, tokens, learns, scores, memory: 0, starts_itself })
    })
}

/// Tensors of steps are cut where they are too large; what one step has is refused then.
#[test]
fn long_sequences_are_cut() {
    // A layer whose slots are 32 numbers of 4 bytes a step of a row: 128 MiB are 2^20 of them.
    let program = stack_of(CELLS[10], 8).program(3).expect("a program");
    let longest = |batch, steps| with(&program, Shape { batch, steps }, longest);
    assert_eq!(longest(1 << 10, 1 << 10).expect("it fits"), 1 << 10);
    assert_eq!(longest(1 << 10, (1 << 10) + 1).expect("it fits in two"), (1 << 9) + 1);
    assert_eq!(longest(1 << 20, 7).expect("it fits in seven"), 1);
    let error = longest((1 << 20) + 1, 7).expect_err("a step is too large");
    assert!(error.to_string().contains("slots of a layer 128.0 MiB"), "{error}");
    assert!(error.to_string().contains("reduce the batch"), "{error}");
}

/// A step of both directions is as many calls as a step of one, where it is several as well.
#[test]
fn directions_share_their_calls() {
    let options = [(CELLS[10], "without bias"), (CELLS[10], "proj_size"), (CELLS[10], "layer_norm")];
    for (cell, option) in options.into_iter().chain([(CELLS[4], "layer_norm"), (CELLS[5], "layer_norm")]) {
        let calls = |bidirectional, steps| {
            let mut stack = stack_of(cell, 150);
            SETTINGS.iter().filter(|(name, _)| *name == option).for_each(|(_, set)| set(&mut stack));
            (stack.num_layers, stack.bidirectional) = (1, bidirectional);
            let program = stack.program(3).expect("a program");
            let made = with(&program, Shape { batch: 2, steps }, |net, shared, signature| {
                let Recording { forward, backward, .. } = recording(net, shared, signature, steps)?;
                Ok([forward.calls(), backward.calls()])
            });
            made.expect("a recording")
        };
        let [one, both] = [false, true].map(|both| {
            let (short, long) = (calls(both, 3), calls(both, 5));
            [long[0] - short[0], long[1] - short[1]]
        });
        assert!(one[0] >= 2 && one[1] >= 2, "{one:?}");
        assert_eq!(both, one, "{cell}, {option}");
    }
}

#[test]
fn a_name_without_adapters_is_unavailable() {
    let error = super::adapters::pick([].iter(), Some("any"), None, true).expect_err("there is none");
    assert!(matches!(error, Error::Gpu(GpuTrouble::Unavailable, _)), "{error}");
}
