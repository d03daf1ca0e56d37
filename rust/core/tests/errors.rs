//! Every kind of error, reached from outside, with the message that a person gets to read.

use seqrs::device::Device;
use seqrs::io::ModelFile;
use seqrs::layers::Spec;
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Builder, Pooling, Slot};
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
        memory: None,
        start: StartState::Zero,
        training: Some(DropoutKey { seed: 0, step: 0 }),
    }
}

#[test]
fn a_value_outside_its_range() {
    let error = Device::open("abacus").unwrap_err();
    assert!(matches!(error, Error::Value { name: "device", .. }));
    let gpu = if cfg!(feature = "wgpu") { "\"gpu\", \"gpu:<part of a name>\", " } else { "" };
    let expected = format!("device: expected \"cpu\", {gpu}\"reference\" or \"auto\", got \"abacus\"");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_model_that_no_op_stands_for() {
    let of = |blocks: &str| {
        let json = format!(r#"{{"input": {{"features": 3}}, "blocks": [{blocks}]}}"#);
        Spec::parse(&json).and_then(|spec| spec.program()).map(|_| ()).unwrap_err().to_string()
    };
    let gru = |options: &str| {
        let layer = r#""block": "recurrent", "name": "", "cell": "gru", "form": "after", "hidden_size": 2"#;
        of(&format!("{{{layer}, {options}}}"))
    };
    assert!(gru(r#""dropout": 7.0"#).starts_with("dropout: expected a number from 0"));
    assert!(
        gru(r#""num_layers": 9000000000000000000"#).starts_with("num_layers: expected a number from 1 to")
    );
    assert!(gru(r#""proj_size": 2"#).starts_with("proj_size: expected an LSTM"));
    assert!(gru(r#""zoneout": [0.1, 0.1]"#).starts_with("zoneout: expected a cell with a memory"));
    assert!(gru(r#""cell_clip": 1.0"#).starts_with("spec: expected a description of blocks"));
    assert!(gru(r#""dropuot": 0.1"#).ends_with("got unknown field `blocks[0].dropuot`"));
    let attention = r#""attention": {"score": "dot", "when": "after", "memory": 2, "size": 2, "heads": 2}"#;
    assert!(gru(attention).ends_with("got unknown field `blocks[0].attention.heads`"), "{}", gru(attention));
    assert!(
        of(r#"{"block": "dropout", "p": 0.1, "variational": true, "seed": 1}"#).ends_with("`blocks[0].seed`")
    );
    let norm = r#"{"block": "layer_norm", "name": "", "eps": 1e-5}"#;
    assert!(of(&format!("{norm}, {norm}")).starts_with("name: expected one that no other parameter has"));
    let pool = r#"{"block": "pool", "name": "", "kind": "max"}"#;
    assert!(of(&format!("{pool}, {pool}")).starts_with("blocks: expected steps for pooling"));
    let linear = r#"{"block": "linear", "name": "", "size": 3, "bias": false, "tied": "x"}"#;
    assert!(of(linear).starts_with("unknown parameter"), "{}", of(linear));
    let tokens = r#"{"input": {"tokens": 3}, "blocks": []}"#;
    let error = Spec::parse(tokens).and_then(|spec| spec.program()).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("blocks: expected an embedding"), "{error}");
}

/// Names that only some cells have, at the values they have anyway.
#[test]
fn every_option_of_a_cell_is_known() {
    let lstm = r#"{"block": "recurrent", "name": "", "cell": "lstm", "form": "none", "hidden_size": [2, 3],
        "activation": "tanh", "output_activation": "tanh", "coupled": false, "cell_clip": null}"#;
    let rnn = r#"{"block": "recurrent", "name": "1", "cell": "rnn", "form": "relu", "hidden_size": 2, "activation": null}"#;
    Spec::parse(&format!(r#"{{"input": {{"features": 3}}, "blocks": [{lstm}, {rnn}]}}"#)).expect("a model");
}

#[test]
fn slots_that_do_not_go_together() {
    let (mut builder, x) = Builder::new(Slot::Features(2)).unwrap();
    let pooled = builder.pool(x, Pooling::Last).unwrap();
    assert!(builder.sum(pooled, x, 1.0).is_err());
    assert!(builder.concat(x, pooled).is_err());
    assert!(builder.reverse(pooled).is_err());
    let logits = builder.linear("", pooled, 2, true, None).unwrap();
    assert!(builder.finish_with_cross_entropy(logits).is_err());
    let (builder, x) = Builder::new(Slot::Features(2)).unwrap();
    assert!(builder.finish_with_cross_entropy(x).is_err());
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
