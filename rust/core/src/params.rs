//! Weights: named views of one contiguous buffer.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::rng::{Kind, Stream};
use crate::shape::{checked_product, zeros};
use std::ops::Range;

/// How a parameter starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// One number.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform(f64),
    /// Standard normal.
    Normal,
    /// A matrix with orthonormal rows, or columns where it has more rows (Saxe et al. 2014).
    Orthogonal,
    /// Equal blocks of rows, each with its own start: the gates of a layer.
    Blocks(Vec<Init>),
}

impl Init {
    /// The numbers of a matrix of `columns` columns, drawn at the places `from ..` of a stream.
    fn fill(&self, stream: &Stream, from: u64, columns: usize, values: &mut [f64]) {
        match self {
            Self::Constant(value) => values.fill(*value),
            Self::Uniform(bound) => {
                (from..).zip(values).for_each(|(i, v)| *v = bound * (2.0 * stream.uniform(i) - 1.0));
            }
            Self::Normal => (from..).zip(values).for_each(|(i, v)| *v = stream.normal(i)),
            Self::Orthogonal => {
                Self::Normal.fill(stream, from, columns, values);
                let rows = values.len().checked_div(columns).unwrap_or(0);
                if rows <= columns {
                    orthonormalise(values, columns);
                } else {
                    let mut turned = transpose(values, columns);
                    orthonormalise(&mut turned, rows);
                    values.copy_from_slice(&transpose(&turned, rows));
                }
            }
            Self::Blocks(blocks) => {
                let size = values.len() / blocks.len().max(1);
                for (i, (init, block)) in blocks.iter().zip(values.chunks_mut(size.max(1))).enumerate() {
                    init.fill(stream, from + (i * size) as u64, columns, block);
                }
            }
        }
    }
}

/// Makes rows of `len` numbers orthonormal (modified Gram-Schmidt, twice for the last digits).
fn orthonormalise(values: &mut [f64], len: usize) {
    for i in 0..values.len() / len.max(1) {
        let (before, rest) = values.split_at_mut(i * len);
        let row = &mut rest[..len];
        for other in before.chunks_exact(len).chain(before.chunks_exact(len)) {
            let along = dot(row, other);
            row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
        }
        let norm = dot(row, row).sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Eight partial sums, so that the additions need not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

fn transpose(values: &[f64], columns: usize) -> Vec<f64> {
    let rows = values.len() / columns;
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
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
    /// Whether it stays as it is when the others learn.
    pub frozen: bool,
}

/// A parameter's number within its [`Parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(usize);

impl ParamId {
    /// Its place in the list of parameters.
    pub(crate) fn number(self) -> usize {
        self.0
    }
}

/// All parameters of a program, in order. In the buffer the frozen ones come last.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
    len: usize,
    trainable: usize,
}

impl Parameters {
    /// Appends a parameter.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) -> Result<ParamId> {
        let name = name.into();
        if self.list.iter().any(|p| p.name == name) {
            return Err(Error::value("name", "one that no other parameter has", format!("{name:?}")));
        }
        let size = checked_product("model size", shape)?;
        checked_product("model size", &[self.len + size])?;
        // Its place is found below.
        let range = 0..size;
        self.list.push(Parameter { name, shape: shape.to_vec(), range, init, frozen: false });
        self.place();
        Ok(ParamId(self.list.len() - 1))
    }

    /// Keeps a parameter from learning: moves it behind those that do.
    pub fn freeze(&mut self, id: ParamId) {
        self.list[id.0].frozen = true;
        self.place();
    }

    /// Places all parameters in the buffer.
    fn place(&mut self) {
        self.len = 0;
        for frozen in [false, true] {
            for parameter in self.list.iter_mut().filter(|p| p.frozen == frozen) {
                parameter.range = self.len..self.len + parameter.range.len();
                self.len = parameter.range.end;
            }
            if !frozen {
                self.trainable = self.len;
            }
        }
    }

    /// Numbers in all parameters together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Numbers that learn: the first ones of the buffer.
    pub fn trainable(&self) -> usize {
        self.trainable
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
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

    /// The number of a parameter by its name.
    pub fn id(&self, name: &str) -> Result<ParamId> {
        self.list.iter().position(|p| p.name == name).map(ParamId).ok_or_else(|| Error::Unknown {
            kind: "parameter",
            name: name.to_owned(),
            known: self.list.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// A parameter by its name.
    pub fn find(&self, name: &str) -> Result<&Parameter> {
        self.id(name).map(|id| self.get(id))
    }

    /// Fresh values: a function of the seed and each parameter's place in the list.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub fn initialise<T: Float>(&self, seed: u64) -> Result<Vec<T>> {
        let mut values = zeros("model size", self.len)?;
        for (site, parameter) in self.list.iter().enumerate() {
            let stream = Stream::new(seed, Kind::Init, site as u32, 0);
            let columns = parameter.shape.last().copied().unwrap_or(1);
            let mut drawn = zeros("model size", parameter.range.len())?;
            parameter.init.fill(&stream, 0, columns, &mut drawn);
            for (value, drawn) in values[parameter.range.clone()].iter_mut().zip(drawn) {
                *value = T::from_f64(drawn);
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_blocks_are_orthonormal() {
        for (rows, columns) in [(3, 3), (2, 5), (5, 2), (1, 1)] {
            let mut parameters = Parameters::default();
            let blocks = Init::Blocks(vec![Init::Orthogonal, Init::Constant(1.0), Init::Orthogonal]);
            parameters.add("w", &[3 * rows, columns], blocks).expect("a size");
            let values = parameters.initialise::<f64>(3).expect("memory");
            let (first, rest) = values.split_at(rows * columns);
            assert!(rest[..rows * columns].iter().all(|&x| x == 1.0));
            assert_ne!(first, &rest[rows * columns..]);
            let (count, len) = (rows.min(columns), rows.max(columns));
            let of =
                |i: usize, k: usize| first[if rows <= columns { i * columns + k } else { k * columns + i }];
            for i in 0..count {
                for j in 0..count {
                    let product: f64 = (0..len).map(|k| of(i, k) * of(j, k)).sum();
                    assert!((product - f64::from(i == j)).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn frozen_parameters_lie_last() {
        let mut parameters = Parameters::default();
        let [a, b, c] = [2, 3, 4].map(|n| parameters.add(n.to_string(), &[n], Init::Normal).expect("a size"));
        let before = parameters.initialise::<f64>(0).expect("memory")[2..5].to_vec();
        parameters.freeze(b);
        assert_eq!([a, c, b].map(|id| parameters.range(id)), [0..2, 2..6, 6..9]);
        assert_eq!((parameters.len(), parameters.trainable()), (9, 6));
        assert_eq!(parameters.initialise::<f64>(0).expect("memory")[6..], before);
    }
}
