//! How fast memory of a size can be read, over and over: the limit of whatever uses every weight once,
//! such as drawing one token after the other.
//!
//! Arguments are KiB that each thread reads; every size gives a line for one thread and one for all, the
//! best of nine tries. Sizes below a cache's give the bandwidth of that cache:
//!
//! ```text
//! $ RUSTFLAGS="-C target-cpu=native" cargo run --release -p seqrs --example read_bandwidth -- 512 4096
//! 1 threads 512 KiB 108.3 GB/s
//! 2 threads 512 KiB 216.1 GB/s
//! 1 threads 4096 KiB 91.0 GB/s
//! ...
//! ```

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Numbers read at a time, in independent sums: a sum that waited for the one before would be the limit.
const BLOCK: usize = 128;
/// How long one try lasts.
const TRY: Duration = Duration::from_millis(100);

fn read(memory: &[f32]) -> f32 {
    let mut sums = [0.0; BLOCK];
    for block in memory.as_chunks::<BLOCK>().0 {
        for (sum, number) in sums.iter_mut().zip(block) {
            *sum += number;
        }
    }
    sums.iter().sum()
}

/// GB/s of all threads together, over one try.
fn measure(memories: &[Vec<f32>]) -> f64 {
    let start_line = Barrier::new(memories.len());
    let work = |memory: &[f32]| {
        black_box(read(memory));
        start_line.wait();
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < TRY {
            black_box(read(black_box(memory)));
            rounds += 1;
        }
        (rounds * size_of_val(memory)) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    thread::scope(|scope| {
        let others: Vec<_> = memories[1..].iter().map(|memory| scope.spawn(|| work(memory))).collect();
        let own = work(&memories[0]);
        own + others.into_iter().map(|o| o.join().expect("no thread panics")).sum::<f64>()
    })
}

fn main() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for argument in std::env::args().skip(1) {
        let kib: usize = argument.parse().expect("arguments are KiB");
        let memories: Vec<_> = (0..cores).map(|_| vec![1.0; kib * 256]).collect();
        for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
            let best = (0..9).map(|_| measure(&memories[..threads])).fold(0.0, f64::max);
            println!("{threads} threads {kib} KiB {best:.1} GB/s");
        }
    }
}
