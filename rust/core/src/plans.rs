//! Plans on loan: a network's scratch, kept for the next batch of its shape.

use crate::backend::Plan;
use crate::error::Result;
use crate::shape::Shape;
use std::mem::replace;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Plans kept at most: of a training loop, its shape and that of its validation, with a tape alive of each.
const KEPT: usize = 4;

/// The plans of a network that nobody uses at the moment, the last used first: their memory is still in the caches.
#[derive(Clone, Default)]
pub(crate) struct Plans(Arc<Mutex<Vec<Plan>>>);

/// A plan that goes back to where it was taken from when this is dropped.
pub(crate) struct Loan {
    plan: Plan,
    home: Plans,
}

impl Plans {
    /// A plan with room for `shape`: one kept from before, or a new one.
    pub(crate) fn take(&self, shape: Shape, make: impl FnOnce() -> Result<Plan>) -> Result<Loan> {
        let fits = |p: &Plan| p.shape.batch == shape.batch && p.shape.steps >= shape.steps;
        let kept = self.with(|kept| kept.iter().position(fits).map(|i| kept.remove(i)));
        Ok(Loan { plan: kept.map_or_else(make, Ok)?, home: self.clone() })
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<Plan>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Deref for Loan {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // What a panic left half done is not used again.
        if !std::thread::panicking() {
            let plan = replace(&mut self.plan, Plan::new(Shape { batch: 0, steps: 0 }, ()));
            // Outside of the lock: freeing a plan takes a while.
            let _surplus = self.home.with(|kept| {
                kept.insert(0, plan);
                if kept.len() > KEPT { kept.pop() } else { None }
            });
        }
    }
}
