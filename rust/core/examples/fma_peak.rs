//! The processor's own limit: how many float32 multiply-adds it can do when nothing else holds it back.
//!
//! Speeds in `bench/` are given as a fraction of this. Arguments are thread counts; each gives one line,
//! the best of nine tries (other programs can only lower it):
//!
//! ```text
//! $ cargo run --release -p seqrs --example fma_peak -- 1 2
//! 1 threads 116.8 GFLOP/s avx512
//! 2 threads 232.9 GFLOP/s avx512
//! ```

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Enough independent chains to cover the latency of a multiply-add (4 cycles, two units), few enough to
/// stay in registers: with 10, the portable path no longer does.
const CHAINS: usize = 8;
/// Steps between two looks at the clock.
const STEPS: usize = 100_000;
/// How long one try lasts.
const TRY: Duration = Duration::from_millis(100);

/// `STEPS` multiply-adds on each of `CHAINS` vectors of 16 numbers.
///
/// Intrinsics, since whether a compiler keeps plain arrays in registers here hangs on chance.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, term) = (_mm512_set1_ps(factor), _mm512_set1_ps(term));
    let mut sums = [term; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, term);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(term, |a, b| _mm512_add_ps(a, b)))
}

/// The same with vectors of 8 numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chains_avx2(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let (factor, term) = (_mm256_set1_ps(factor), _mm256_set1_ps(term));
    let mut sums = [term; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, term);
        }
    }
    _mm256_cvtss_f32(sums.into_iter().fold(term, |a, b| _mm256_add_ps(a, b)))
}

/// The same with vectors of 4 numbers, which every processor of this architecture has.
fn chains_portable(factor: f32, term: f32) -> f32 {
    let mut sums = [[term; 4]; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            for lane in sum {
                // Without the instruction, `mul_add` would call a function.
                *lane = if cfg!(target_arch = "aarch64") {
                    lane.mul_add(factor, term)
                } else {
                    *lane * factor + term
                };
            }
        }
    }
    sums.iter().flatten().sum()
}

/// One way to run the chains: its name, its lanes, and the function.
#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    lanes: usize,
    run: fn(f32, f32) -> f32,
}

fn best_path() -> Path {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as just asked.
            let run = |factor, term| unsafe { chains_avx512(factor, term) };
            return Path { name: "avx512", lanes: 16, run };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as just asked.
            let run = |factor, term| unsafe { chains_avx2(factor, term) };
            return Path { name: "avx2", lanes: 8, run };
        }
    }
    Path { name: "portable", lanes: 4, run: chains_portable }
}

/// GFLOP/s of all threads together, over one try.
fn measure(path: Path, threads: usize) -> f64 {
    let start_line = Barrier::new(threads);
    let work = || {
        start_line.wait();
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < TRY {
            black_box((path.run)(black_box(0.999), black_box(0.001)));
            rounds += 1;
        }
        let flop = 2 * rounds * STEPS * CHAINS * path.lanes;
        flop as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        own + others.into_iter().map(|o| o.join().expect("no thread panics")).sum::<f64>()
    })
}

fn main() {
    let path = best_path();
    for argument in std::env::args().skip(1) {
        let threads: usize = argument.parse().expect("arguments are thread counts");
        let best = (0..9).map(|_| measure(path, threads)).fold(0.0, f64::max);
        println!("{threads} threads {best:.1} GFLOP/s {}", path.name);
    }
}
