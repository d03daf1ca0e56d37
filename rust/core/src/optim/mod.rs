//! Optimisers: SGD with momentum, RMSprop, Adam and AdamW over one flat buffer of weights.

mod held;
mod rules;
mod sweep;

pub(crate) use held::Held;
#[cfg(feature = "wgpu")]
pub(crate) use held::Numbers;
pub use rules::Rule;

use crate::error::{Error, Result};
use crate::float::Float;
use rules::{adam, positive, rmsprop, sgd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sweep::{Before, Portable, sum_of_squares};
pub(crate) use sweep::{Loop, MOST_SLICES, Renew, Runner, in_pieces};

/// An update rule and its moving averages over all weights of one network.
///
/// # Examples
/// ```
/// use seqrs::optim::{Optimizer, Rule};
/// let mut optimizer = Optimizer::new(Rule::Sgd { momentum: 0.0 }, 0.0, Some(1.0), None, 2)?;
/// let mut weights = [1.0, 2.0];
/// let norm = optimizer.update(&mut weights, &[3.0, 4.0], 0.5)?;
/// assert_eq!(norm, 5.0);
/// assert!((weights[0] - 0.7f64).abs() < 1e-12 && (weights[1] - 1.6).abs() < 1e-12);
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer<T> {
    rule: Rule,
    weight_decay: f64,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    len: usize,
    /// Shared with the device that made the last updates, while nobody has looked at these.
    steps: Arc<AtomicU64>,
    moments: Vec<(&'static str, Vec<T>)>,
    /// Where the moments are instead, since a device made the last update.
    held: Option<Box<dyn Held<T>>>,
}

impl<T: Float> Optimizer<T> {
    /// An optimiser for `len` weights, its moving averages at 0.
    ///
    /// Each gradient is first cut to ±`clip_value`, then all are scaled down to the global norm
    /// `clip_norm`, then `weight_decay` times the weight is added ([`Rule::AdamW`]: see there).
    ///
    /// # Errors
    /// [`Error::Value`] for a setting out of its range.
    pub fn new(
        rule: Rule,
        weight_decay: f64,
        clip_norm: Option<f64>,
        clip_value: Option<f64>,
        len: usize,
    ) -> Result<Self> {
        rule.validate::<T>()?;
        if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
            return Err(Error::value("weight_decay", "a finite number of at least 0", weight_decay));
        }
        clip_norm.map_or(Ok(()), |value| positive::<T>("clip_norm", value))?;
        clip_value.map_or(Ok(()), |value| positive::<T>("clip_value", value))?;
        let moments = rule.moments().iter().map(|&name| (name, vec![T::ZERO; len])).collect();
        Ok(Self {
            rule,
            weight_decay,
            clip_norm,
            clip_value,
            len,
            steps: Arc::default(),
            moments,
            held: None,
        })
    }

    /// Updates made so far. Those begun on a graphics processor count until somebody looks at what they came to:
    /// see [`crate::network::Network::learn`].
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// One update of all weights at rate `lr`.
    ///
    /// Returns the norm of all gradients, after `clip_value` and before `clip_norm`. Where it is
    /// not finite, nothing is changed. Any number of threads gives the same bits.
    ///
    /// # Errors
    /// [`Error::Shape`] where `params` or `grads` have another length than this optimiser,
    /// [`Error::Value`] for a negative or not finite `lr`.
    pub fn update(&mut self, params: &mut [T], grads: &[T], lr: f64) -> Result<f64> {
        self.update_on(Portable, params, grads, lr, |numbers, renew| in_pieces(Portable, numbers, renew))
    }

    /// The same with loops compiled for a processor; `pass` calls what it is given on all weights and their
    /// moving averages, once each and in any pieces.
    pub(crate) fn update_on(
        &mut self,
        runner: impl Runner,
        params: &mut [T],
        grads: &[T],
        lr: f64,
        pass: impl FnOnce([&mut [T]; MOST_SLICES], &Renew<'_, T>),
    ) -> Result<f64> {
        for (name, len) in [("params", params.len()), ("grads", grads.len())] {
            if len != self.len {
                return Err(Error::shape(name, format!("({},)", self.len), &[len]));
            }
        }
        check_rate::<T>(lr)?;
        self.bring_home()?;
        let bound = T::from_f64(self.clip_value.unwrap_or(f64::INFINITY));
        let norm = sum_of_squares(runner, grads, bound).sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let scale = self.clip_norm.map_or(1.0, |limit| if norm > limit { limit / norm } else { 1.0 });
        let (added, kept) = match self.rule {
            Rule::AdamW { .. } => (0.0, 1.0 - lr * self.weight_decay),
            _ => (self.weight_decay, 1.0),
        };
        let [scale, added, kept] = [scale, added, kept].map(T::from_f64);
        let before = Before { bound, scale, added, kept };
        match self.rule {
            Rule::Sgd { momentum: 0.0 } => {
                let lr = T::from_f64(lr);
                self.sweep(runner, pass, params, grads, &before, |g, none: [T; 0]| (lr * g, none));
            }
            Rule::Sgd { momentum } => self.sweep(runner, pass, params, grads, &before, sgd(momentum, lr)),
            Rule::RmsProp { rho, eps } => {
                self.sweep(runner, pass, params, grads, &before, rmsprop(rho, eps, lr))
            }
            Rule::Adam { betas, eps } | Rule::AdamW { betas, eps } => {
                self.sweep(runner, pass, params, grads, &before, adam(betas, eps, lr, step))
            }
        }
        Ok(norm)
    }

    /// `rule`, which keeps `N` moving averages, on every weight.
    fn sweep<const N: usize>(
        &mut self,
        runner: impl Runner,
        pass: impl FnOnce([&mut [T]; MOST_SLICES], &Renew<'_, T>),
        params: &mut [T],
        grads: &[T],
        before: &Before<T>,
        rule: impl Fn(T, [T; N]) -> (T, [T; N]) + Send + Sync,
    ) {
        let mut moments = self.moments.iter_mut();
        let moments =
            std::array::from_fn(|_| moments.next().map(|(_, m)| m.as_mut_slice()).unwrap_or_default());
        sweep::update(runner, pass, params, grads, moments, before, &rule);
    }

    /// The moving averages by name ([`Rule::moments`]), each over all weights.
    ///
    /// # Errors
    /// If they are on a device that has been lost.
    pub fn state(&self) -> Result<Vec<(&'static str, Vec<T>)>> {
        match &self.held {
            Some(held) => Ok(self.rule.moments().iter().copied().zip(held.fetch()?).collect()),
            None => Ok(self.moments.clone()),
        }
    }

    /// Continue from a saved [`Optimizer::state`] after `steps` updates.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name this rule does not keep, [`Error::Value`] for a missing one,
    /// [`Error::Shape`] for a wrong length, [`Error::NotFinite`]. Nothing is changed then.
    pub fn load_state(&mut self, steps: u64, state: &[(&str, &[T])]) -> Result<()> {
        let names = self.rule.moments();
        if let Some((name, _)) = state.iter().find(|(name, _)| !names.contains(name)) {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::Unknown { kind: "optimizer state", name: (*name).to_owned(), known });
        }
        if steps > u64::MAX / 2 {
            return Err(Error::value("steps", "a number of updates", steps));
        }
        let mut moments = Vec::with_capacity(names.len());
        for &name in names {
            let Some((_, values)) = state.iter().find(|(other, _)| *other == name) else {
                return Err(Error::value("state", format!("an entry {name:?}"), "none"));
            };
            if values.len() != self.len {
                return Err(Error::shape(name, format!("({},)", self.len), &[values.len()]));
            }
            if !values.iter().all(|x| x.is_finite()) {
                return Err(Error::NotFinite { name: name.to_owned() });
            }
            moments.push((name, values.to_vec()));
        }
        (self.steps, self.moments, self.held) = (Arc::new(steps.into()), moments, None);
        Ok(())
    }
}

fn check_rate<T: Float>(lr: f64) -> Result<()> {
    if lr >= 0.0 && T::from_f64(lr).is_finite() {
        Ok(())
    } else {
        Err(Error::value("lr", format!("a finite {} of at least 0", T::NAME), lr))
    }
}

#[cfg(test)]
mod tests;
