//! The processor's own limit: how many multiply-adds it can do when nothing else holds it back, in float32
//! and, where it has the instructions, as dot products of pairs of bfloat16 (or tiles of them) and of fours of
//! int8.
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
/// The same of AVX-512, which has more registers, and whose dot products take longer (6 cycles).
#[cfg(target_arch = "x86_64")]
const MORE_CHAINS: usize = 16;
/// Steps between two looks at the clock.
const STEPS: usize = 100_000;
/// How long one try lasts.
const TRY: Duration = Duration::from_millis(100);

/// `STEPS` multiply-adds on each of `MORE_CHAINS` vectors of 16 numbers.
///
/// Intrinsics, since whether a compiler keeps plain arrays in registers here hangs on chance.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (factor, term) = (_mm512_set1_ps(factor), _mm512_set1_ps(term));
    let mut sums = [term; MORE_CHAINS];
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
    let mut sums = [term; MORE_CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, factor, factor);
        }
    }
    _mm512_reduce_add_ps(sums.into_iter().fold(term, |a, b| _mm512_add_ps(a, b)))
}

/// Products of tiles of bfloat16, 16 x 32 by 32 x 16 numbers, all 0: four sums, as many as a kernel holds.
#[cfg(target_arch = "x86_64")]
unsafe fn tiles_amx(_factor: f32, term: f32) -> f32 {
    // Eight tiles of 16 rows of 64 bytes.
    let mut shape = [0_u8; 64];
    shape[0] = 1;
    for tile in 0..8 {
        shape[16 + 2 * tile] = 64;
        shape[48 + tile] = 16;
    }
    // SAFETY: it is called where `has_amx` says that the processor and the system have tiles; it reads `shape`
    // and leaves the tiles unused.
    unsafe {
        std::arch::asm!(
            "ldtilecfg [{shape}]",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {steps}",
            "jnz 2b",
            "tilerelease",
            shape = in(reg) shape.as_ptr(),
            steps = inout(reg) STEPS * CHAINS / 4 => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly)
        );
    }
    term
}

/// Whether the processor has tiles of bfloat16, and Linux lets this process use them.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe)]
fn has_amx() -> bool {
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    // SAFETY: every processor of this target has the instruction.
    let word = unsafe { std::arch::x86_64::__cpuid_count(7, 0).edx };
    if !cfg!(target_os = "linux") || word & BF16_AND_TILE != BF16_AND_TILE {
        return false;
    }
    let result: isize;
    // SAFETY: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA), which touches no memory of this process.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") 158_isize => result,
            in("rdi") 0x1023_usize,
            in("rsi") 18_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// Dot products of 16 fours of int8, added to 16 integers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn fours_avx512(factor: f32, term: f32) -> f32 {
    use std::arch::x86_64::{_mm512_add_epi32, _mm512_castps_si512, _mm512_dpbusd_epi32};
    use std::arch::x86_64::{_mm512_reduce_add_epi32, _mm512_set1_ps};
    let factor = _mm512_castps_si512(_mm512_set1_ps(factor));
    let term = _mm512_castps_si512(_mm512_set1_ps(term));
    let mut sums = [term; MORE_CHAINS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, factor, factor);
        }
    }
    _mm512_reduce_add_epi32(sums.into_iter().fold(term, |a, b| _mm512_add_epi32(a, b))) as f32
}

/// One way to run the chains: its name, the multiply-adds of a step, and the function.
#[derive(Clone, Copy)]
struct Path {
    name: &'static str,
    step: usize,
    run: fn(f32, f32) -> f32,
}

/// What this processor has: the best for float32 first.
fn paths() -> Vec<Path> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, as just asked.
            let run = |factor, term| unsafe { chains_avx512(factor, term) };
            let mut paths = vec![Path { name: "float32 avx512", step: MORE_CHAINS * 16, run }];
            if has_amx() {
                // SAFETY: and it has tiles, which the system permits.
                let run = |factor, term| unsafe { tiles_amx(factor, term) };
                paths.push(Path { name: "bfloat16 amx", step: CHAINS * 16 * 16 * 32, run });
            } else if is_x86_feature_detected!("avx512bf16") {
                // SAFETY: and it has the products of bfloat16.
                let run = |factor, term| unsafe { pairs_avx512(factor, term) };
                paths.push(Path { name: "bfloat16 avx512", step: MORE_CHAINS * 32, run });
            }
            if is_x86_feature_detected!("avx512vnni") {
                // SAFETY: and it has the products of int8.
                let run = |factor, term| unsafe { fours_avx512(factor, term) };
                paths.push(Path { name: "int8 avx512", step: MORE_CHAINS * 64, run });
            }
            return paths;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, as just asked.
            let run = |factor, term| unsafe { chains_avx2(factor, term) };
            return vec![Path { name: "float32 avx2", step: CHAINS * 8, run }];
        }
    }
    vec![Path { name: "float32 portable", step: CHAINS * 4, run: chains_portable }]
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
        let flop = 2 * rounds * STEPS * path.step;
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
