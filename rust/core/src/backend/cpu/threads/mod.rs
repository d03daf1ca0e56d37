//! The thread team: one for the process, entered once a call (a training step, a run). Its threads are in
//! [`team`].
//!
//! Work is cut by shape, never by the number of threads, so that results do not depend on it.
#![allow(unsafe_code)]

mod pieces;
mod team;

use crate::error::{Error, Result};
pub(crate) use pieces::{Block, Matrix};
use pieces::{Columns, Pieces};
use std::array::from_fn;
use std::cell::RefCell;
use std::mem::MaybeUninit;
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
    threads: team::Team,
    /// Whether a call is using it.
    busy: AtomicBool,
}

thread_local! {
    /// The team that a call of this thread has to itself.
    static HELD: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

/// The team is this thread's own until this is dropped.
struct Turn<'a>(&'a Team);

impl<'a> Turn<'a> {
    /// A turn, unless another call has it.
    fn take(team: &'a Arc<Team>) -> Option<Self> {
        if team.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        HELD.replace(Some(Arc::clone(team)));
        Some(Self(team))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        HELD.take();
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
    Ok(team()?.threads.len())
}

fn build(n: usize) -> Result<Team> {
    let threads = team::Team::new(n).map_err(|e| Error::value("n", "threads the system grants", e))?;
    Ok(Team { process: std::process::id(), threads, busy: AtomicBool::new(false) })
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
pub(crate) struct Crew<'a> {
    team: Option<&'a team::Team>,
}

/// Runs `call` with the team where it is worth it and the team is free; else alone, with the same
/// bits. Loops inside use [`Crew::each`]; a call inside that enters again is in already, and as the
/// threads are awake, much smaller work is worth handing to them.
pub(crate) fn enter<R>(operations: f64, call: impl FnOnce(Crew) -> R) -> Result<R> {
    if let Some(team) = HELD.with_borrow(Option::clone) {
        return Ok(call(Crew { team: Some(&team.threads) }));
    }
    if operations < WORTH_A_TEAM {
        return Ok(call(Crew::ALONE));
    }
    let team = team()?;
    if team.threads.len() == 1 {
        return Ok(call(Crew::ALONE));
    }
    let Some(_turn) = Turn::take(&team) else { return Ok(call(Crew::ALONE)) };
    team.threads.wake();
    Ok(call(Crew { team: Some(&team.threads) }))
}

impl Crew<'_> {
    /// No one but the caller.
    pub(crate) const ALONE: Self = Self { team: None };

    /// How many threads there are, with the caller's.
    pub(crate) fn threads(self) -> usize {
        self.team.map_or(1, team::Team::len)
    }

    /// Whether there are others to hand work to.
    pub(crate) fn is_team(self) -> bool {
        self.team.is_some()
    }

    /// Calls `f` with every number below `count`, in any order.
    fn numbers(self, count: usize, f: &(impl Fn(usize) + Send + Sync)) {
        match self.team {
            Some(team) => team.run(count, f),
            None => (0..count).for_each(f),
        }
    }

    /// Calls `f` on every item, in any order.
    pub(crate) fn each<I: Send>(self, items: &mut [I], f: impl Fn(usize, &mut I) + Send + Sync) {
        self.chunks(items, 1, |i, item| item.iter_mut().for_each(|item| f(i, item)));
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
        let mut sizes = sizes.into_iter();
        let slices = slices.map(|slice| Pieces::new(slice, sizes.next().unwrap_or(0)));
        self.numbers(count.unwrap_or(0), &|i| {
            // SAFETY: a team calls this once with each number.
            f(i, from_fn(|k| unsafe { slices[k].take(i) }));
        });
    }

    /// `len` new items: `f` is called on every piece of `size` default ones, the last one perhaps shorter, in any
    /// order. Each thread is the first to touch what it fills.
    pub(crate) fn made<I: Copy + Default + Send>(
        self,
        len: usize,
        size: usize,
        f: impl Fn(usize, &mut [I]) + Send + Sync,
    ) -> Vec<I> {
        let mut all = Vec::with_capacity(len);
        self.chunks(&mut all.spare_capacity_mut()[..len], size, |i, piece| {
            piece.fill(MaybeUninit::new(I::default()));
            // SAFETY: all of the piece has just been written, and both types have the same layout.
            f(i, unsafe { &mut *(&raw mut *piece as *mut [I]) });
        });
        // SAFETY: the pieces make up the first `len` items, and each has been written.
        unsafe { all.set_len(len) };
        all
    }

    /// Calls `f` with every number below `count` and the blocks of that number of all matrices, in any order.
    pub(crate) fn blocks<I: Send, J: Send, const N: usize, const M: usize>(
        self,
        count: usize,
        first: [Matrix<'_, I>; N],
        second: [Matrix<'_, J>; M],
        f: &(impl Fn(usize, [Block<'_, I>; N], [Block<'_, J>; M]) + Send + Sync),
    ) {
        let (first, second) = (first.map(Columns::new), second.map(Columns::new));
        self.numbers(count, &|i| {
            // SAFETY: a team calls this once with each number.
            let first = from_fn(|k| unsafe { first[k].take(i) });
            // SAFETY: likewise.
            f(i, first, from_fn(|k| unsafe { second[k].take(i) }));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_filled_piece_by_piece() {
        for (len, size) in [(0, 3), (1, 3), (6, 3), (7, 3), (2, 5)] {
            let fill = |i, piece: &mut [usize]| piece.iter_mut().for_each(|x| *x += i + 1);
            let want: Vec<_> = (0..len).map(|at| at / size + 1).collect();
            let made = enter(WORTH_A_TEAM, |crew| crew.made(len, size, fill));
            assert_eq!(made.expect("a team"), want, "{len} by {size}");
        }
    }
}
