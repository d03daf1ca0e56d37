//! How long it takes to hand a word from one core to another and to have the answer: what threads that share a
//! step wait for, over and over. Where both cores have one last cache it is a twentieth of a microsecond, across
//! two of them several times as long; a virtual machine may be moved from the one to the other at any moment.
//!
//! Prints nanoseconds, the median of many short tries:
//!
//! ```text
//! $ cargo run --release -p seqrs --example hand_over
//! 52 ns
//! ```

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Words in one try, and tries: 10 ms in all, if a word takes 50 ns.
const WORDS: usize = 2_000;
const TRIES: usize = 101;

/// Waits until there is `word`, which the other thread writes.
fn wait_for(place: &AtomicUsize, word: usize) {
    while place.load(Ordering::Acquire) != word {
        spin_loop();
    }
}

fn main() {
    let place = AtomicUsize::new(0);
    let mut tries = thread::scope(|scope| {
        // Answers every odd word with the next.
        scope.spawn(|| {
            for word in (1..2 * WORDS * TRIES).step_by(2) {
                wait_for(&place, word);
                place.store(word + 1, Ordering::Release);
            }
        });
        let hand_over = |number: usize| {
            let start = Instant::now();
            for word in (2 * WORDS * number + 1..2 * WORDS * (number + 1)).step_by(2) {
                place.store(word, Ordering::Release);
                wait_for(&place, word + 1);
            }
            start.elapsed().as_secs_f64() / WORDS as f64 * 1e9
        };
        (0..TRIES).map(hand_over).collect::<Vec<_>>()
    });
    tries.sort_by(f64::total_cmp);
    println!("{:.0} ns", tries[TRIES / 2]);
}
