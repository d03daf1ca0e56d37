//! Groups that go through the steps of a layer side by side, there or back: what is read of a weight for one is there
//! for all. How many do, and whether threads have groups of their own or share each step.

use super::super::groups::{Group, TOGETHER};
use super::super::math::Elementary;
use super::super::part::Part;
use super::super::simd::is_of_intel;
use super::super::threads::Crew;
use super::Scan;
use crate::backend::Precision;

/// Bytes of recurrent weights from which on threads share them where each has few rows, since it would read all of
/// them in every step. Intel's last cache gives a core 8 bytes a cycle, half of what a product with eight rows asks
/// for; AMD's as many as one with four.
fn shared_from() -> usize {
    if is_of_intel() { 7 << 19 } else { usize::MAX }
}

/// What is done to a group on its way through the steps.
pub(super) trait Walk: Send {
    fn group(&self) -> &Group;
}

/// Groups that go through the steps together.
pub(super) struct Together<'a, G> {
    /// Who shares a step.
    pub(super) crew: Crew<'a>,
    /// Those with the most steps first; none before another.
    pub(super) all: [Option<G>; TOGETHER],
}

impl<G: Walk> Together<'_, G> {
    /// Steps of the longest.
    pub(super) fn steps(&self) -> usize {
        self.all.iter().flatten().map(|one| one.group().steps.len()).max().unwrap_or(0)
    }

    /// Rows of all.
    pub(super) fn rows(&self) -> usize {
        self.all.iter().flatten().map(|one| one.group().rows.len()).sum()
    }

    /// Those that have a step `t`.
    pub(super) fn at(&mut self, t: usize) -> impl Iterator<Item = &mut G> {
        self.all.iter_mut().flatten().filter(move |one| t < one.group().steps.len())
    }

    /// Calls `f` on each of them.
    pub(super) fn each(&mut self, t: usize, f: impl Fn(&mut G) + Send + Sync) {
        let count = self.at(t).count();
        if count == 1 || !self.crew.is_team() {
            return self.at(t).for_each(f);
        }
        self.crew.each(&mut self.all[..count], |_, one| one.iter_mut().for_each(&f));
    }
}

impl<T: Elementary> Scan<T> {
    /// Calls `run` with all groups, which threads share step by step, or with those of each thread.
    pub(super) fn by_crew(
        &self,
        crew: Crew,
        parts: &mut [Part<T>],
        run: impl Fn(Crew, &mut [Part<T>]) + Send + Sync,
    ) {
        let (groups, threads) = (parts.len(), crew.threads());
        if groups == 1 || threads == 1 || self.is_shared(groups, threads) {
            return run(crew, parts);
        }
        crew.chunks(parts, self.together(groups, threads), |_, parts| run(Crew::ALONE, parts));
    }

    /// How many of the groups a thread takes through the layer together: several where the recurrent weights do not
    /// stay in a cache of its own, as long as every thread has some.
    pub(in super::super) fn together(&self, groups: usize, threads: usize) -> usize {
        if self.is_wide() { (groups / threads).clamp(1, TOGETHER) } else { 1 }
    }

    /// Whether threads share the products in a step of so many groups: where most threads would have no group, or
    /// each would read for its own what it can read for all. No more go together than [`TOGETHER`].
    pub(in super::super) fn is_shared(&self, groups: usize, threads: usize) -> bool {
        let idle = groups <= TOGETHER && 2 * groups <= threads;
        let few = groups < TOGETHER * threads && groups.min(threads) <= TOGETHER;
        threads > 1 && self.is_wide() && (idle || few && self.bytes() > shared_from())
    }

    /// Bytes of the weights of the recurrent products.
    fn bytes(&self) -> usize {
        let each = match self.precision {
            Precision::Full => size_of::<T>(),
            Precision::Bfloat16 => 2,
            Precision::Int8 => 1,
        };
        self.weights() * each
    }
}
