//! Threads that stand by for the pieces of a loop: they look for work without pause for a moment,
//! then let others run, then sleep.
//!
//! The thread that has the work takes part in it, so that a team of n has n - 1 threads of its own and
//! a loop is done even if none of them comes. Each has a *lane*: the pieces meant for it, so that in
//! loop after loop the same thread reads the same weights; who has no more takes from others' lanes.
//! The counter of a lane is all that is fought over: who brings it down from above 0 has a piece, and
//! it is one of the loop at hand, whatever went on before, since no loop ends before its pieces do.
#![allow(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Thread, available_parallelism, park, yield_now};
use std::time::{Duration, Instant};

/// How long a thread without work looks for it and does nothing else, if there is a processor for each.
const SPIN: Duration = Duration::from_micros(50);
/// How long until it sleeps: longer than what lies between two calls of a training loop.
const LINGER: Duration = Duration::from_micros(200);
/// Looks between two at the clock.
const LOOKS: usize = 32;

/// What is done with the piece of a number.
type Piece<'a> = dyn Fn(usize) + Sync + 'a;

/// On cache lines of its own, of which processors fetch two at a time.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    /// Pieces that nobody has taken, below 0 where some came too late.
    left: AtomicIsize,
    /// The number after that of the last piece.
    end: AtomicUsize,
    /// Where the caller has its reference to the [`Piece`].
    piece: AtomicPtr<()>,
    asleep: AtomicBool,
}

/// What the threads share.
struct Shared {
    lanes: Box<[Lane]>,
    /// Pieces not done.
    pending: AtomicUsize,
    /// Whether a loop is running: another inside it is its thread's own.
    running: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    dismissed: AtomicBool,
    spin: Duration,
}

/// The threads of a team, which end some time after it.
pub(super) struct Team {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
}

impl Team {
    /// A team of `n` with whoever calls it.
    pub(super) fn new(n: usize) -> std::io::Result<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            lanes: (0..n).map(|_| Lane::default()).collect(),
            pending: AtomicUsize::new(0),
            running: AtomicBool::new(false),
            panic: Mutex::new(None),
            dismissed: AtomicBool::new(false),
            spin: if n <= processors { SPIN } else { Duration::ZERO },
        };
        let mut team = Self { shared: Arc::new(shared), threads: Vec::with_capacity(n - 1) };
        for lane in 1..n {
            let shared = Arc::clone(&team.shared);
            let builder = Builder::new().name(format!("seqrs-{lane}"));
            let handle = builder.spawn(move || shared.stand_by(lane))?;
            team.threads.push(handle.thread().clone());
        }
        Ok(team)
    }

    pub(super) fn len(&self) -> usize {
        self.shared.lanes.len()
    }

    /// Wakes who sleeps, since there will be work.
    pub(super) fn wake(&self) {
        for (lane, thread) in self.shared.lanes[1..].iter().zip(&self.threads) {
            if lane.asleep.load(SeqCst) && lane.asleep.swap(false, SeqCst) {
                thread.unpark();
            }
        }
    }

    /// Calls `piece` with every number below `count`, and returns when all are done. One thread at a time
    /// may call it from outside of its pieces.
    pub(super) fn run(&self, count: usize, piece: &Piece<'_>) {
        let shared = &*self.shared;
        if count <= 1 || self.len() == 1 || shared.running.swap(true, Relaxed) {
            (0..count).for_each(piece);
            return;
        }
        shared.pending.store(count, Relaxed);
        let mut end = count;
        // The caller's own lane is the last to be filled, and has the first pieces.
        for (i, lane) in shared.lanes.iter().enumerate().rev() {
            let pieces = count / self.len() + usize::from(i < count % self.len());
            lane.end.store(end, Relaxed);
            lane.piece.store((&raw const piece).cast_mut().cast(), Relaxed);
            lane.left.store(pieces as isize, SeqCst);
            end -= pieces;
        }
        self.wake();
        shared.work(0);
        let mut looks = 0;
        while shared.pending.load(Acquire) > 0 {
            looks += 1;
            if looks > LOOKS * LOOKS { yield_now() } else { std::hint::spin_loop() }
        }
        shared.running.store(false, Relaxed);
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.dismissed.store(true, SeqCst);
        self.threads.iter().for_each(Thread::unpark);
    }
}

impl Shared {
    /// Takes pieces, those of lane `own` first, until there are no more.
    fn work(&self, own: usize) {
        let mut done = 0;
        for lane in self.lanes[own..].iter().chain(&self.lanes[..own]) {
            while lane.left.load(Relaxed) > 0 {
                let left = lane.left.fetch_sub(1, AcqRel);
                if left <= 0 {
                    break;
                }
                let number = lane.end.load(Relaxed) - left as usize;
                let piece = lane.piece.load(Relaxed).cast::<&Piece<'_>>();
                // SAFETY: this piece is taken and not done, and `run`, whose argument `piece` points to,
                // stays until all are. It was stored before the counter that is read above.
                let piece = unsafe { &*piece };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| piece(number))) {
                    *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                }
                done += 1;
            }
        }
        if done > 0 {
            self.pending.fetch_sub(done, Release);
        }
    }

    /// What the thread of a lane does all its life.
    fn stand_by(&self, own: usize) {
        let lane = &self.lanes[own];
        let mut since = Instant::now();
        while !self.dismissed.load(SeqCst) {
            if (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                lane.left.load(Relaxed) > 0
            }) {
                self.work(own);
                since = Instant::now();
                continue;
            }
            let waited = since.elapsed();
            if waited > LINGER {
                lane.asleep.store(true, SeqCst);
                // Who brought work or dismissed it before this line did not see it asleep.
                if lane.left.load(SeqCst) <= 0 && !self.dismissed.load(SeqCst) {
                    park();
                }
                lane.asleep.store(false, SeqCst);
                since = Instant::now();
            } else if waited > self.spin {
                yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::{current, sleep};

    #[test]
    fn every_piece_is_done_once() {
        for n in 1..5 {
            let team = Team::new(n).expect("threads");
            for count in [0, 1, 2, 3, 4, 5, 17, 100].into_iter().cycle().take(2000) {
                let done: Vec<_> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                team.run(count, &|i| {
                    done[i].fetch_add(1, Relaxed);
                });
                assert!(done.iter().all(|done| done.load(Relaxed) == 1), "{n} threads, {count} pieces");
            }
        }
    }

    #[test]
    fn others_help_and_are_woken() {
        let team = Team::new(2).expect("threads");
        for _ in 0..3 {
            let names = Mutex::new(HashSet::new());
            team.run(2, &|_| {
                names.lock().expect("names").insert(current().id());
                // Longer than a thread takes to wake.
                sleep(Duration::from_millis(30));
            });
            assert_eq!(names.into_inner().expect("names").len(), 2);
            sleep(LINGER * 20);
        }
    }

    #[test]
    fn a_loop_in_a_piece_is_its_threads_own() {
        let team = Team::new(3).expect("threads");
        let sum = AtomicUsize::new(0);
        team.run(20, &|i| {
            let here = current().id();
            team.run(10, &|j| {
                assert_eq!(current().id(), here);
                sum.fetch_add(i * j, Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 190 * 45);
    }

    #[test]
    fn a_panic_comes_out_after_all_pieces_are_done() {
        let team = Team::new(2).expect("threads");
        let done = AtomicUsize::new(0);
        let all = catch_unwind(AssertUnwindSafe(|| {
            team.run(50, &|i| {
                done.fetch_add(1, Relaxed);
                assert!(i != 49, "the last");
            });
        }));
        assert!(all.is_err() && done.load(Relaxed) == 50);
        team.run(2, &|_| {
            done.fetch_add(1, Relaxed);
        });
        assert_eq!(done.into_inner(), 52);
    }
}
