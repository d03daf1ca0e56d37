//! Weights: named views of one contiguous buffer.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::rng::{Kind, Stream};
use crate::shape::checked_product;
use std::ops::Range;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in ±bound.
    Uniform(f64),
    /// Standard normal.
    Normal,
}

/// One parameter: its name and shape as in PyTorch, and where it lies in the buffer.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// PyTorch's name, `lstm.weight_ih_l0`.
    pub name: String,
    /// Its shape, row major.
    pub shape: Vec<usize>,
    /// Its place in the buffer.
    pub range: Range<usize>,
    /// How it starts.
    pub init: Init,
}

/// A parameter's number within its [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(usize);

/// All parameters of a program, in order.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
}

impl Parameters {
    /// Appends a parameter.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> Result<ParamId> {
        let size = checked_product("model size", shape)?;
        let start = self.len();
        checked_product("model size", &[start + size])?;
        let range = start..start + size;
        self.list.push(Parameter { name: name.into(), shape: shape.to_vec(), range, init });
        Ok(ParamId(self.list.len() - 1))
    }

    /// Numbers in all parameters together.
    pub fn len(&self) -> usize {
        self.list.last().map_or(0, |p| p.range.end)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.list.iter()
    }

    /// A parameter by its number.
    pub fn get(&self, id: ParamId) -> &Parameter {
        &self.list[id.0]
    }

    /// Where a parameter lies.
    pub fn range(&self, id: ParamId) -> Range<usize> {
        self.get(id).range.clone()
    }

    /// A parameter by its name.
    pub fn find(&self, name: &str) -> Result<&Parameter> {
        self.list.iter().find(|p| p.name == name).ok_or_else(|| Error::Unknown {
            kind: "parameter",
            name: name.to_owned(),
            known: self.list.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Fresh values: a function of the seed and each parameter's place in the list.
    pub fn initialise<T: Float>(&self, seed: u64) -> Vec<T> {
        let mut values = Vec::with_capacity(self.len());
        for (site, parameter) in self.list.iter().enumerate() {
            let stream = Stream::new(seed, Kind::Init, site as u32, 0);
            values.extend((0..parameter.range.len() as u64).map(|i| {
                T::from_f64(match parameter.init {
                    Init::Normal => stream.normal(i),
                    Init::Uniform(bound) => bound * (2.0 * stream.uniform(i) - 1.0),
                })
            }));
        }
        values
    }
}
