//! Loops over all weights, which an optimiser makes, on this processor and its team.

use super::simd::{Isa, Task};
use super::threads::Crew;
use crate::optim::{Loop, Runner};

/// Where they run.
#[derive(Clone, Copy)]
pub(super) struct Loops<'a> {
    pub(super) isa: Isa,
    pub(super) crew: Crew<'a>,
}

impl Runner for Loops<'_> {
    fn run<J: Loop>(self, job: J) -> J::Out {
        self.isa.run(Compiled(job))
    }

    fn pieces<I: Send, const N: usize>(
        self,
        slices: [&mut [I]; N],
        sizes: [usize; N],
        f: &(impl Fn(usize, [&mut [I]; N]) + Send + Sync),
    ) {
        self.crew.zipped_chunks(slices, sizes, f);
    }
}

/// A loop as a task.
struct Compiled<J>(J);

impl<J: Loop> Task<f32> for Compiled<J> {
    type Out = J::Out;
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> J::Out {
        self.0.run()
    }
}
