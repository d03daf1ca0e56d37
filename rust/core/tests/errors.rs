//! Every kind of error, reached from outside, with the message that a person gets to read.

use seqrs::device::Device;
use seqrs::io::ModelFile;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::{Error, Result};

/// A network without a vocabulary: 3 features in, 2 units out.
fn gru() -> Result<Network<f64>> {
    let cell = Cell::parse("gru", "after")?;
    let stack = Recurrent::new(cell, 2, 1);
    Network::new(stack.program(3)?, Device::open("cpu")?, 0)
}

/// One sequence of four steps.
fn batch(x: &[f64]) -> Batch<'_, f64> {
    Batch {
        shape: Shape { batch: 1, steps: 4 },
        input: Input::Features(x),
        targets: None,
        lengths: None,
        mask: None,
        start: StartState::Zero,
        training: Some(DropoutKey { seed: 0, step: 0 }),
    }
}

#[test]
fn a_value_outside_its_range() {
    let error = Device::open("abacus").unwrap_err();
    assert!(matches!(error, Error::Value { name: "device", .. }));
    assert_eq!(error.to_string(), "device: expected \"cpu\", \"reference\" or \"auto\", got \"abacus\"");
}

#[test]
fn an_array_of_another_shape() {
    let error = gru().unwrap().set("bias_ih_l0", &[0.0; 5]).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }));
    assert!(error.to_string().ends_with("got (5,)"), "{error}");
}

#[test]
fn a_name_that_does_not_exist() {
    let error = gru().unwrap().get("weight").unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }));
    assert!(error.to_string().contains("weight_hh_l0"), "{error} does not say what there is");
}

#[test]
fn an_operation_that_the_network_lacks() {
    let mut network = gru().unwrap();
    let rule = Rule::Sgd { momentum: 0.0 };
    let mut sgd = Optimizer::new(rule, 0.0, None, None, network.num_parameters()).unwrap();
    let error = network.train_step(&batch(&[0.0; 12]), &mut sgd, 0.1).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)));
    assert_eq!(error.to_string(), "not supported: a loss on a network without a vocabulary");
}

#[test]
fn a_tape_used_twice() {
    let network = gru().unwrap();
    let (_, mut tape) = network.forward(&batch(&[0.0; 12])).unwrap();
    network.backward(&mut tape, &[1.0; 8], None).unwrap();
    let error = network.backward(&mut tape, &[1.0; 8], None).unwrap_err();
    assert!(matches!(error, Error::Tape(_)));
    assert!(error.to_string().contains("once"), "{error}");
}

#[test]
fn a_number_that_is_not_finite() {
    let mut sampler = Sampler::new(2, 1.0, None, None, &[]).unwrap();
    let error = sampler.draw(&[0.0, f32::NAN], 0.5).unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }));
    assert_eq!(error.to_string(), "logits: expected finite numbers, got NaN or infinity");
}

#[test]
fn a_file_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poem.txt");
    std::fs::write(&path, "The old pond: a frog jumps in, the sound of water.").unwrap();
    let error = ModelFile::read(&path).unwrap_err();
    assert!(matches!(error, Error::Format { .. }));
    assert!(error.to_string().contains("poem.txt: not a usable model file"), "{error}");
}

#[test]
fn a_file_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let error = ModelFile::read(folder.path().join("none.seqrs")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
    assert!(error.to_string().contains("none.seqrs"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}
