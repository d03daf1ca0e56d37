//! The thread team: one pool for the process, entered once a call (a training step, a run).
//!
//! Work is cut by shape, never by the number of threads, so that results do not depend on it.

use crate::error::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Below this many floating point operations a call stays on its own thread: waking another
/// takes longer.
const WORTH_A_TEAM: f64 = 4e6;

/// Multiplications of a call that are worth handing to another of its threads: on this side of a
/// microsecond's work it waits longer than it helps.
pub(crate) const SHARE: usize = 64 << 10;

struct Team {
    /// The process that made it: a forked child has the memory but not the threads.
    process: u32,
    pool: ThreadPool,
    /// Whether a call is using it.
    busy: AtomicBool,
}

/// The team is one call's own until this is dropped.
struct Turn<'a>(&'a Team);

impl<'a> Turn<'a> {
    /// A turn, unless another call has it.
    fn take(team: &'a Team) -> Option<Self> {
        (!team.busy.swap(true, Ordering::Acquire)).then_some(Self(team))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

static TEAM: RwLock<Option<Arc<Team>>> = RwLock::new(None);

/// Sets the number of threads of every later call.
///
/// # Errors
/// If `n` is 0 or more than 1024, or the system refuses to start them.
pub fn set_num_threads(n: usize) -> Result<()> {
    if !(1..=1024).contains(&n) {
        return Err(Error::value("n", "a number of threads from 1 to 1024", n));
    }
    let team = build(n)?;
    let old = TEAM.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(team));
    retire(old);
    Ok(())
}

/// Threads a call may use: [`set_num_threads`], else `SEQRS_NUM_THREADS`, else one a processor
/// that this process may run on.
pub fn num_threads() -> Result<usize> {
    Ok(team()?.pool.current_num_threads())
}

fn build(n: usize) -> Result<Team> {
    let pool = ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("seqrs-{i}")).build();
    let pool = pool.map_err(|e| Error::value("n", "threads the system grants", e))?;
    Ok(Team { process: std::process::id(), pool, busy: AtomicBool::new(false) })
}

/// Forgets a team inherited through a fork: its threads are not here to be joined.
fn retire(old: Option<Arc<Team>>) {
    if let Some(team) = old
        && team.process != std::process::id()
    {
        std::mem::forget(team);
    }
}

fn team() -> Result<Arc<Team>> {
    if let Some(team) = TEAM.read().unwrap_or_else(PoisonError::into_inner).as_ref()
        && team.process == std::process::id()
    {
        return Ok(Arc::clone(team));
    }
    let n = match std::env::var("SEQRS_NUM_THREADS") {
        Ok(text) => match text.parse() {
            Ok(n @ 1..=1024) => n,
            _ => {
                return Err(Error::value(
                    "SEQRS_NUM_THREADS",
                    "a number from 1 to 1024",
                    format!("{text:?}"),
                ));
            }
        },
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let fresh = Arc::new(build(n)?);
    retire(TEAM.write().unwrap_or_else(PoisonError::into_inner).replace(Arc::clone(&fresh)));
    Ok(fresh)
}

/// How one call runs its loops: alone or with the team.
#[derive(Clone, Copy)]
pub(crate) struct Crew {
    team: bool,
}

/// Runs `call` with the team where it is worth it and the team is free; else alone, with the same
/// bits. Loops inside use [`Crew::each`]; a call inside that enters again is in already.
pub(crate) fn enter<R: Send>(operations: f64, call: impl FnOnce(Crew) -> R + Send) -> Result<R> {
    if operations < WORTH_A_TEAM {
        return Ok(call(Crew { team: false }));
    }
    let team = team()?;
    if team.pool.current_num_threads() == 1 {
        return Ok(call(Crew { team: false }));
    }
    // Called from within: the team is this call's already.
    if team.pool.current_thread_index().is_some() {
        return Ok(call(Crew { team: true }));
    }
    let Some(_turn) = Turn::take(&team) else { return Ok(call(Crew { team: false })) };
    Ok(team.pool.install(|| call(Crew { team: true })))
}

impl Crew {
    /// The team, in a call from within it: its threads are awake, and much smaller work is worth
    /// handing to them.
    pub(crate) fn within() -> Result<Option<Self>> {
        let within = rayon::current_thread_index().is_some() && team()?.pool.current_thread_index().is_some();
        Ok(within.then_some(Self { team: true }))
    }

    /// Calls `f` on every item, in any order.
    pub(crate) fn each<I: Send>(self, items: &mut [I], f: impl Fn(usize, &mut I) + Send + Sync) {
        if self.team && items.len() > 1 {
            items.par_iter_mut().with_max_len(1).enumerate().for_each(|(i, item)| f(i, item));
        } else {
            items.iter_mut().enumerate().for_each(|(i, item)| f(i, item));
        }
    }

    /// Calls `f` on every piece of `size` items, the last one perhaps shorter, in any order.
    pub(crate) fn chunks<I: Send>(
        self,
        items: &mut [I],
        size: usize,
        f: impl Fn(usize, &mut [I]) + Send + Sync,
    ) {
        self.zipped_chunks([items], [size], &|i, [piece]| f(i, piece));
    }

    /// Calls `f` on every piece of so many items of each slice, the last ones perhaps shorter, in any order.
    pub(crate) fn zipped_chunks<I: Send, const N: usize>(
        self,
        slices: [&mut [I]; N],
        sizes: [usize; N],
        f: &(impl Fn(usize, [&mut [I]; N]) + Send + Sync),
    ) {
        let count = slices.iter().zip(sizes).map(|(slice, size)| slice.len().div_ceil(size)).max();
        self.pieces(slices, sizes, 0, count.unwrap_or(0), f);
    }

    /// Pieces number `first ..` of `count`, which are those of `slices`.
    fn pieces<I: Send, const N: usize>(
        self,
        slices: [&mut [I]; N],
        sizes: [usize; N],
        first: usize,
        count: usize,
        f: &(impl Fn(usize, [&mut [I]; N]) + Send + Sync),
    ) {
        if count <= 1 {
            if count == 1 {
                f(first, slices);
            }
            return;
        }
        let half = count / 2;
        let mut sizes_left = sizes.into_iter();
        let mut halves = slices.map(|slice| {
            let size = sizes_left.next().unwrap_or(0);
            slice.split_at_mut(slice.len().min(half * size))
        });
        let slices = halves.each_mut().map(|(left, _)| std::mem::take(left));
        let rest = halves.map(|(_, right)| right);
        let left = || self.pieces(slices, sizes, first, half, f);
        let right = || self.pieces(rest, sizes, first + half, count - half, f);
        if self.team {
            rayon::join(left, right);
        } else {
            left();
            right();
        }
    }

    /// No one but the caller.
    pub(crate) const ALONE: Self = Self { team: false };

    /// Whether there are others to hand work to.
    pub(crate) fn is_team(self) -> bool {
        self.team
    }

    /// Calls both, at the same time where there is another thread.
    pub(crate) fn both(self, a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
        if self.team {
            rayon::join(a, b);
        } else {
            a();
            b();
        }
    }
}
