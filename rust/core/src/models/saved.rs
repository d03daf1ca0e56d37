//! A language model as a file holds it: what it is made of, its vocabulary and its weights.

use super::LanguageModel;
use crate::device::{Device, Element};
use crate::error::{Error, Result};
use crate::float::Float;
use crate::io::{Dtype, ModelFile, Tensor};
use crate::network::Network;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The version of the layout of metadata that is read here.
const FORMAT: &str = "1";

/// A language model that was read from a file.
///
/// The tensors have the names of the program's parameters; a training checkpoint's other tensors
/// are passed over. Of the metadata, `seqrs.format` and `seqrs.kind` say what the file is,
/// `seqrs.config` holds the options and `seqrs.vocabulary` the tokens, both as JSON.
///
/// # Examples
/// ```no_run
/// use seqrs::{device::Device, models::SavedLanguageModel, network::Network};
/// let saved = SavedLanguageModel::read("model.seqrs")?;
/// let network: Network<f32> = saved.network(Device::open("cpu")?)?;
/// println!("{} tokens, {} weights", saved.tokens.len(), network.num_parameters());
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SavedLanguageModel {
    /// What it is made of.
    pub model: LanguageModel,
    /// What its tokens are: "char", "byte", "word", "word-punct" or "custom".
    pub level: String,
    /// What starts from zero: "file", or "line" where each line ends in `<EOS>`.
    pub documents: String,
    /// The vocabulary: a token's number is its place.
    pub tokens: Vec<String>,
    path: PathBuf,
    file: ModelFile,
}

/// The options that are not the network's.
#[derive(Deserialize)]
struct Text {
    level: String,
    documents: String,
}

#[derive(Deserialize)]
struct Vocabulary {
    tokens: Vec<String>,
}

impl SavedLanguageModel {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is no language model, of
    /// another version, or damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = ModelFile::read(path)?;
        let format = |reason: String| Error::Format { path: path.to_owned(), reason };
        let text = |key: &str| {
            file.metadata.get(key).ok_or_else(|| format(format!("{key} is missing from the metadata")))
        };
        let version = text("seqrs.format")?;
        if version != FORMAT {
            return Err(format(format!("of format {version:?}; this version reads format {FORMAT:?}")));
        }
        let kind = text("seqrs.kind")?;
        if kind != "language_model" {
            return Err(format(format!("it is a {kind:?}, no language model")));
        }
        let damaged = |error: serde_json::Error| format(format!("the metadata are damaged: {error}"));
        let config = text("seqrs.config")?;
        let mut options: serde_json::Map<_, _> = parse(config).map_err(damaged)?;
        // The layers of a language model always have biases.
        options.insert("bias".to_owned(), true.into());
        let model: LanguageModel = serde_json::from_value(options.into()).map_err(damaged)?;
        let Text { level, documents } = parse(config).map_err(damaged)?;
        let Vocabulary { tokens } = parse(text("seqrs.vocabulary")?).map_err(damaged)?;
        if tokens.len() != model.vocab_size {
            let reason = format!("{} tokens for a vocabulary of {}", tokens.len(), model.vocab_size);
            return Err(format(reason));
        }
        Ok(Self { model, level, documents, tokens, path: path.to_owned(), file })
    }

    /// The model on a device, with the file's weights; they are rounded where `T` is the smaller.
    ///
    /// # Errors
    /// [`Error::Format`] where weights are missing or of another size than the options say.
    pub fn network<T: Element + Float>(&self, device: Device) -> Result<Network<T>> {
        let damaged = |reason| Error::Format { path: self.path.clone(), reason };
        let program = self.model.program().map_err(|error| damaged(error.to_string()))?;
        let mut weights = Vec::new();
        for parameter in program.parameters.iter() {
            let name = &parameter.name;
            match self.file.tensors.get(name) {
                Some(tensor) if tensor.shape == parameter.shape => {
                    weights.push((name.clone(), numbers::<T>(tensor).map_err(|e| damaged(e.to_string()))?));
                }
                Some(Tensor { shape, .. }) => {
                    let reason = format!("{name}: expected shape {:?}, got {shape:?}", parameter.shape);
                    return Err(damaged(reason));
                }
                None => return Err(damaged(format!("{name} is missing from the tensors"))),
            }
        }
        // Only now, when the file is known to hold as much as it says, is memory taken.
        let mut network = Network::new(program, device, 0)?;
        for (name, values) in weights {
            network.set(&name, &values)?;
        }
        Ok(network)
    }
}

fn parse<D: DeserializeOwned>(json: &str) -> serde_json::Result<D> {
    serde_json::from_str(json)
}

fn numbers<T: Float>(tensor: &Tensor) -> Result<Vec<T>> {
    Ok(match tensor.dtype {
        Dtype::F64 => tensor.to_vec::<f64>()?.into_iter().map(T::from_f64).collect(),
        _ => tensor.to_vec::<f32>()?.into_iter().map(|x| T::from_f64(f64::from(x))).collect(),
    })
}
