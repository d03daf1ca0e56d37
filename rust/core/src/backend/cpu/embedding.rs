//! An embedding whose rows are needed one by one: something stands between it and the layer.

use super::context::{Context, Reach};
use super::local::Local;
use super::math::Elementary;
use super::part::Part;
use super::scratch::Rows;
use super::threads::Crew;
use crate::params::ParamId;
use crate::program::SlotId;
use crate::rng::{Kind, Stream};

/// The op.
pub(super) struct Gather {
    pub(super) tokens: SlotId,
    pub(super) table: ParamId,
    pub(super) dropout: f64,
    pub(super) out: SlotId,
    pub(super) width: usize,
}

/// What embedding dropout multiplies a token's vector by.
pub(super) fn token_mask<T: Elementary>(stream: Option<Stream>, token: usize, p: f64) -> T {
    stream.filter(|_| p > 0.0).map_or(T::ONE, |stream| stream.keep_mask(token as u32, 1.0 - p))
}

impl<T: Elementary> Local<T> for Gather {
    fn forward(&self, part: &mut Part<T>, _own: &mut [Rows<T>], run: &Context<'_, T>) {
        let table = &run.values[run.parameters.range(self.table)];
        let stream = run.stream(Kind::EmbeddingDropout, 0);
        part.with_slot(self.out, |part, out| {
            for (row, &place) in part.token_rows[self.tokens].iter().enumerate() {
                let to = &mut out.at_mut(row)[..self.width];
                match usize::try_from(run.tokens[place as usize]) {
                    Ok(token) => {
                        let mask = token_mask::<T>(stream, token, self.dropout);
                        let from = &table[token * self.width..][..self.width];
                        to.iter_mut().zip(from).for_each(|(to, &x)| *to = x * mask);
                    }
                    Err(_) => to.fill(T::ZERO),
                }
            }
        });
    }

    fn backward(&self, _part: &mut Part<T>, _own: &mut [Rows<T>], _run: &Context<'_, T>) {}

    /// Adds every row's gradient to its token's, group by group and row by row.
    fn weight_gradients(
        &self,
        _crew: Crew,
        _op: usize,
        parts: &[Part<T>],
        run: &Context<'_, T>,
        gradient: &mut [T],
    ) {
        let gradient = &mut gradient[run.parameters.range(self.table)];
        let stream = run.stream(Kind::EmbeddingDropout, 0);
        for part in parts {
            let d = &part.d_slots[self.out];
            for (row, &place) in part.token_rows[self.tokens].iter().enumerate() {
                if let Ok(token) = usize::try_from(run.tokens[place as usize]) {
                    let mask = token_mask::<T>(stream, token, self.dropout);
                    let to = &mut gradient[token * self.width..][..self.width];
                    to.iter_mut().zip(d.at(row)).for_each(|(to, &d)| *to += d * mask);
                }
            }
        }
    }

    fn reaches(&mut self) -> Vec<&mut Reach> {
        Vec::new()
    }
}
