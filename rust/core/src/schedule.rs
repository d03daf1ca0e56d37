//! Learning rate schedules: the rate as a function of the number of the update, and of nothing else,
//! so that resumed training goes on with the same rate.

use crate::error::{Error, Result};

/// How the rate falls after its warm-up.
///
/// η is the base rate, s = 0, 1, … the update counted from the end of the warm-up, S the number of
/// updates after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// η.
    Constant,
    /// η γ^⌊s / size⌋.
    Step {
        /// Updates at one rate, at least 1.
        size: u64,
        /// Factor γ from one rate to the next, above 0.
        gamma: f64,
    },
    /// last + (η − last) (1 + cos(π s / S)) / 2.
    ///
    /// Loshchilov and Hutter 2017 (SGDR, equation 5), without restarts. It would reach `last` with
    /// the update after the last one.
    Cosine {
        /// The rate it falls to, from 0 to η.
        last: f64,
    },
}

impl Schedule {
    /// A schedule by name: `"constant"`, `"step"` or `"cosine"`; each takes the settings it needs.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn from_name(name: &str, step_size: u64, gamma: f64, last: f64) -> Result<Self> {
        match name {
            "constant" => Ok(Self::Constant),
            "step" => Ok(Self::Step { size: step_size, gamma }),
            "cosine" => Ok(Self::Cosine { last }),
            _ => Err(Error::Unknown {
                kind: "schedule",
                name: name.to_owned(),
                known: "constant, step, cosine".to_owned(),
            }),
        }
    }

    /// The rate of update number `step` (from 0) of `total`.
    ///
    /// The first `warmup` updates rise linearly, η (step + 1) / warmup; the schedule runs over the
    /// rest. From `total` on, a cosine stays at its last rate.
    ///
    /// # Errors
    /// [`Error::Value`] for a setting that makes no sense, whether or not this step needs it.
    ///
    /// # Examples
    /// ```
    /// use seqrs::schedule::Schedule;
    /// let cosine = Schedule::Cosine { last: 0.0 };
    /// assert_eq!(cosine.rate(1e-3, 4, 100, 10)?, 0.5e-3);
    /// assert_eq!(cosine.rate(1e-3, 10, 100, 10)?, 1e-3);
    /// assert!((cosine.rate(1e-3, 55, 100, 10)? - 0.5e-3).abs() < 1e-12);
    /// # Ok::<(), seqrs::Error>(())
    /// ```
    pub fn rate(self, lr: f64, step: u64, total: u64, warmup: u64) -> Result<f64> {
        self.validate(lr, total, warmup)?;
        if step < warmup {
            return Ok(lr * (step + 1) as f64 / warmup as f64);
        }
        let (step, total) = (step - warmup, total - warmup);
        Ok(match self {
            Self::Constant => lr,
            Self::Step { size, gamma } => lr * gamma.powf((step / size) as f64),
            Self::Cosine { last } if step >= total => last,
            Self::Cosine { last } => {
                let angle = std::f64::consts::PI * step as f64 / total as f64;
                last + (lr - last) * (1.0 + angle.cos()) / 2.0
            }
        })
    }

    fn validate(self, lr: f64, total: u64, warmup: u64) -> Result<()> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(Error::value("lr", "a finite number of at least 0", lr));
        }
        if warmup > total {
            return Err(Error::value("warmup", format!("at most the {total} updates there are"), warmup));
        }
        match self {
            Self::Step { size: 0, .. } => Err(Error::value("step_size", "at least 1", 0)),
            Self::Step { gamma, .. } if !(gamma > 0.0 && gamma.is_finite()) => {
                Err(Error::value("gamma", "a finite number above 0", gamma))
            }
            Self::Cosine { last } if !(0.0..=lr).contains(&last) => {
                Err(Error::value("final", format!("a rate from 0 to lr = {lr}"), last))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let step = Schedule::Step { size: 3, gamma: 0.5 };
        let cosine = Schedule::Cosine { last: 0.2 };
        // (schedule, step, rate) of lr 1, 10 updates, 4 of them warm-up; six updates follow.
        for (schedule, at, expected) in [
            (Schedule::Constant, 0, 0.25),
            (Schedule::Constant, 3, 1.0),
            (Schedule::Constant, 9, 1.0),
            (step, 1, 0.5),
            (step, 6, 1.0),
            (step, 7, 0.5),
            (step, 10, 0.25),
            (cosine, 2, 0.75),
            (cosine, 4, 1.0),
            (cosine, 6, 0.8), // a third of the way: cos 60° = 1/2
            (cosine, 7, 0.6),
            (cosine, 8, 0.4),
            (cosine, 10, 0.2),
            (cosine, u64::MAX, 0.2),
        ] {
            let rate = schedule.rate(1.0, at, 10, 4).unwrap();
            assert!((rate - expected).abs() < 1e-15, "{schedule:?} at {at}: {rate}");
        }
        assert_eq!(cosine.rate(1.0, 4, 4, 4).unwrap(), 0.2);
        assert_eq!(Schedule::Constant.rate(0.1, 0, 1, 0).unwrap(), 0.1);
    }

    #[test]
    fn names() {
        let named = |name| Schedule::from_name(name, 7, 0.3, 0.1);
        assert_eq!(named("constant").unwrap(), Schedule::Constant);
        assert_eq!(named("step").unwrap(), Schedule::Step { size: 7, gamma: 0.3 });
        assert_eq!(named("cosine").unwrap(), Schedule::Cosine { last: 0.1 });
        let message = named("linear").unwrap_err().to_string();
        assert_eq!(message, "unknown schedule \"linear\"; known: constant, step, cosine");
    }

    #[test]
    fn errors() {
        let step = |size, gamma| Schedule::Step { size, gamma };
        let cosine = |last| Schedule::Cosine { last };
        for (schedule, lr, warmup, message) in [
            (Schedule::Constant, -1.0, 0, "lr: expected a finite number of at least 0, got -1"),
            (Schedule::Constant, f64::NAN, 0, "lr: expected a finite number of at least 0, got NaN"),
            (Schedule::Constant, 1.0, 11, "warmup: expected at most the 10 updates there are, got 11"),
            (step(0, 0.5), 1.0, 0, "step_size: expected at least 1, got 0"),
            (step(1, -0.5), 1.0, 0, "gamma: expected a finite number above 0, got -0.5"),
            (step(1, f64::NAN), 1.0, 0, "gamma: expected a finite number above 0, got NaN"),
            (cosine(2.0), 1.0, 0, "final: expected a rate from 0 to lr = 1, got 2"),
            (cosine(f64::NAN), 1.0, 0, "final: expected a rate from 0 to lr = 1, got NaN"),
        ] {
            assert_eq!(schedule.rate(lr, 0, 10, warmup).unwrap_err().to_string(), message);
        }
    }
}
