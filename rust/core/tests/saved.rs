//! Language models from files: what was written comes back, and a file that is not one says why.

use seqrs::io::{ModelFile, Tensor};
use seqrs::models::SavedLanguageModel;
use seqrs::prelude::*;

/// A file as the Python package writes it, with a bigger model's other options and tensors.
fn file(network: &Network<f32>) -> ModelFile {
    let config = r#"{"level": "char", "documents": "file", "cell": "gru", "form": "before", "vocab_size": 3,
        "hidden_size": 4, "num_layers": 2, "embedding_size": null, "dropout": 0, "min_count": 1}"#;
    let mut file = ModelFile::default();
    for (key, value) in [
        ("seqrs.format", "1"),
        ("seqrs.kind", "language_model"),
        ("seqrs.config", config),
        ("seqrs.vocabulary", r#"{"tokens": ["a", "é", "\n"]}"#),
    ] {
        file.metadata.insert(key.to_owned(), value.to_owned());
    }
    for parameter in network.program().parameters.iter() {
        let values = network.get(&parameter.name).expect("its numbers");
        let tensor = Tensor::new(&parameter.shape, &values).expect("numbers that fit");
        file.tensors.insert(parameter.name.clone(), tensor);
    }
    file.tensors.insert("optimizer.exp_avg".to_owned(), Tensor::new(&[1], &[0.5_f32]).expect("one number"));
    file
}

fn network() -> Network<f32> {
    let cell = Cell::parse("gru", "before").expect("a form that exists");
    let layers = Recurrent::new(cell, 4, 2);
    let model = LanguageModel { vocab_size: 3, embedding_size: None, layers };
    Network::new(model.program().expect("a model"), Device::Reference, 5).expect("a network")
}

fn read(file: &ModelFile) -> seqrs::Result<(SavedLanguageModel, Network<f32>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.seqrs");
    file.write(&path).expect("a file");
    let saved = SavedLanguageModel::read(&path)?;
    let network = saved.network(Device::Reference)?;
    Ok((saved, network))
}

#[test]
fn what_was_written_comes_back() {
    let written = network();
    let (saved, network) = read(&file(&written)).unwrap();
    assert_eq!(saved.tokens, ["a", "é", "\n"]);
    assert_eq!((saved.level.as_str(), saved.documents.as_str()), ("char", "file"));
    for parameter in written.program().parameters.iter() {
        assert_eq!(network.get(&parameter.name).unwrap(), written.get(&parameter.name).unwrap());
    }
}

#[test]
fn files_that_do_not_fit_say_why() {
    let refused = |damage: fn(&mut ModelFile), reason: &str| {
        let mut file = file(&network());
        damage(&mut file);
        let Err(error) = read(&file) else { panic!("no error that says {reason:?}") };
        assert!(matches!(error, seqrs::Error::Format { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error} does not say {reason:?}");
    };
    refused(|f| drop(f.metadata.remove("seqrs.vocabulary")), "seqrs.vocabulary is missing");
    refused(|f| replace(f, "seqrs.format", "1", "2"), "of format \"2\"");
    refused(|f| replace(f, "seqrs.kind", "language_model", "tagger"), "\"tagger\", no language model");
    refused(|f| replace(f, "seqrs.config", "gru", "abacus"), "the metadata are damaged");
    refused(|f| replace(f, "seqrs.config", "\"hidden_size\": 4", "\"hidden_size\": 5"), "expected shape");
    refused(|f| replace(f, "seqrs.config", "\"hidden_size\": 4", "\"hidden_size\": 0"), "hidden_size");
    refused(|f| replace(f, "seqrs.vocabulary", "\"a\", ", ""), "2 tokens for a vocabulary of 3");
    refused(|f| drop(f.tensors.remove("head.bias")), "head.bias is missing");
}

fn replace(file: &mut ModelFile, key: &str, from: &str, to: &str) {
    let value = file.metadata.get_mut(key).expect("a key that is there");
    *value = value.replace(from, to);
}
