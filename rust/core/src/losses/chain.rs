//! The parameters of a chain of tags, and its scores.

use crate::error::{Error, Result};
use crate::float::Float;
use crate::shape::{Shape, checked_product};

/// What a sequence of K kinds of tags scores beside its emissions. −∞ rules a start, a pair or an end out.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a, T> {
    /// (K,): of the first tag.
    pub start: &'a [T],
    /// (K, K): of a tag, the row, followed by another, the column.
    pub transitions: &'a [T],
    /// (K,): of the last tag.
    pub end: &'a [T],
}

impl<T: Float> Chain<'_, T> {
    /// K.
    pub fn tags(&self) -> usize {
        self.start.len()
    }

    /// Refuses sizes that do not fit each other or emissions (B, T, K), and NaN and ∞.
    pub(crate) fn check(&self, emissions: &[T], shape: Shape) -> Result<()> {
        let tags = self.tags();
        if tags == 0 {
            return Err(Error::value("start", "at least one tag", 0));
        }
        for (name, part, size) in [
            ("start", self.start, tags),
            ("transitions", self.transitions, tags * tags),
            ("end", self.end, tags),
        ] {
            if part.len() != size {
                return Err(Error::shape(name, format!("{size} numbers"), &[part.len()]));
            }
            let bad = |x: &T| !x.is_finite() && x.to_f64() != f64::NEG_INFINITY;
            if let Some(at) = part.iter().position(bad) {
                let got = format!("{} at {at}", part[at].to_f64()).replace("NaN", "nan");
                return Err(Error::value(name, "finite numbers, or -inf to rule one out", got));
            }
        }
        let size = checked_product("emissions", &[shape.batch, shape.steps, tags])?;
        if emissions.len() != size {
            return Err(Error::shape("emissions", format!("{size} numbers"), &[emissions.len()]));
        }
        Ok(())
    }

    pub(crate) fn in_double(&self) -> Doubled {
        let double = |part: &[T]| part.iter().map(|x| x.to_f64()).collect();
        Doubled {
            start: double(self.start),
            transitions: double(self.transitions),
            end: double(self.end),
            tags: self.tags(),
        }
    }
}

/// A chain in double precision.
pub(crate) struct Doubled {
    pub(crate) start: Vec<f64>,
    pub(crate) transitions: Vec<f64>,
    pub(crate) end: Vec<f64>,
    pub(crate) tags: usize,
}

impl Doubled {
    pub(crate) fn pair(&self, from: usize, to: usize) -> f64 {
        self.transitions[from * self.tags + to]
    }

    /// The score of a row's tags; Err holds the step at which the chain rules them out.
    pub(crate) fn score<T: Float>(&self, emissions: &[T], tags: &[usize]) -> std::result::Result<f64, usize> {
        let (Some(&first), Some(&last)) = (tags.first(), tags.last()) else { return Ok(0.0) };
        let mut score = self.start[first];
        for (t, &tag) in tags.iter().enumerate() {
            if t > 0 {
                score += self.pair(tags[t - 1], tag);
            }
            if score == f64::NEG_INFINITY {
                return Err(t);
            }
            score += emissions[t * self.tags + tag].to_f64();
        }
        let score = score + self.end[last];
        if score == f64::NEG_INFINITY { Err(tags.len() - 1) } else { Ok(score) }
    }
}
