//! The processor's own limit: how many multiply-adds it can do when nothing else holds it back, in float32
//! and, where it has the instructions, as dot products of pairs of bfloat16 and of fours of int8.
//!
//! Speeds in `bench/` are given as a fraction of this. Arguments are thread counts; each gives one line
//! for every kind of number, the best of nine tries (other programs can only lower it), a multiply-add
//! counted as two:
//!
//! ```text
//! $ cargo run --release -p seqrs --example fma_peak -- 1 2
//! 1 threads 116.8 GFLOP/s float32 avx512
//! 1 threads 232.5 GFLOP/s bfloat16 avx512
//! 1 threads 465.1 GFLOP/s int8 avx512
//! 2 threads 232.9 GFLOP/s float32 avx512
//! ...
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

/// Dot products of 16 pairs of bfloat16, added to 16 float32.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs_avx512(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps};
    use std::arch::x86_64::{_mm512_reduce_add_ps, _mm512_set1_ps};
    let term = _mm512_set1_ps(term);
    let factor = _mm512_cvtne2ps_pbh(_mm512_set1_ps(factor), term);
    let mut sums = [term; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, factor, factor);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(term, |a, b| _mm512_add_ps(a, b)))
}

/// Dot products of 16 fours of int8, added to 16 integers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn fours_avx512(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_epi32, _mm512_castps_si512, _mm512_dpbusd_epi32};
    use std::arch::x86_64::{_mm512_reduce_add_epi32, _mm512_set1_ps};
    let factor = _mm512_castps_si512(_mm512_set1_ps(factor));
    let term = _mm512_castps_si512(_mm512_set1_ps(term));
    let mut sums = [term; CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, factor, factor);
        }
    }
    _mm512_reduce_add_epi32(sums.into_iter().fold(term, |a, b| _mm512_add_epi32(a, b))) as f32
}

/// One way to run the chains: its name, the multiply-adds of an instruction, and the function.
#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    lanes: usize,
    run: fn(f32, f32) -> f32,
}

/// What this processor has: the best for float32 first.
fn paths() -> Vec<Path> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as just asked.
            let run = |factor, term| unsafe { chains_avx512(factor, term) };
            let mut paths = vec![Path { name: "float32 avx512", lanes: 16, run }];
            if is_x86_feature_detected!("avx512bf16") {
                // SAFETY: and it has the products of bfloat16.
                let run = |factor, term| unsafe { pairs_avx512(factor, term) };
                paths.push(Path { name: "bfloat16 avx512", lanes: 32, run });
            }
            if is_x86_feature_detected!("avx512vnni") {
                // SAFETY: and it has the products of int8.
                let run = |factor, term| unsafe { fours_avx512(factor, term) };
                paths.push(Path { name: "int8 avx512", lanes: 64, run });
            }
            return paths;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as just asked.
            let run = |factor, term| unsafe { chains_avx2(factor, term) };
            return vec![Path { name: "float32 avx2", lanes: 8, run }];
        }
    }
    vec![Path { name: "float32 portable", lanes: 4, run: chains_portable }]
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
    for argument in std::env::args().skip(1) {
        let threads: usize = argument.parse().expect("arguments are thread counts");
        for path in paths() {
            let best = (0..9).map(|_| measure(path, threads)).fold(0.0, f64::max);
            println!("{threads} threads {best:.1} GFLOP/s {}", path.name);
        }
    }
}
