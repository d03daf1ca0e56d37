//! Products of bfloat16 in tiles (AMX): matrices of up to 16 rows of 64 bytes, eight of which the processor
//! holds and multiplies whole.
//!
//! ```text
//! C, 16 x 16 float32   +=   A, 16 rows x 16 pairs of terms   ·   B, 16 pairs of terms x 16 columns
//! ```
//! A panel's registers are the rows of B as they lie. The compiler knows neither the instructions nor the
//! tiles: a pass from the setting of the tiles to their release is one piece of assembly.

use super::{Pair, Panel};
use std::arch::asm;
use std::mem::offset_of;
use std::sync::OnceLock;

/// Rows of a tile at most, pairs in a row of A, and columns of B and of C.
const SIDE: usize = 16;

/// Whether the processor has tiles of bfloat16 and the system lets this process use them: it has to be asked,
/// since it then keeps 8 KB more of each thread.
pub(super) fn usable() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| cfg!(target_os = "linux") && has_tiles() && ask())
}

/// By the processor's word.
#[allow(unused_unsafe)]
fn has_tiles() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    // SAFETY: every processor of this target has the instruction.
    unsafe { __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE }
}

/// By the system's word: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
fn ask() -> bool {
    let result: isize;
    // SAFETY: a call of Linux that takes two numbers and touches no memory of this process; one that does not
    // know it returns an error.
    unsafe {
        asm!(
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

/// How a pass begins: what the eight tiles are, as the processor reads it; of what the sums start from the
/// lower row of tiles, and the bytes from a row of numbers to the next and from a tile to the next; the sums.
#[repr(C)]
struct Setting {
    tiles: [u8; 64],
    lower: *const f32,
    stride: usize,
    apart: usize,
    c: *mut f32,
}

/// Eight tiles: 0 to 3 are sums, 4 and 5 of A, the others, and 5 where A has one, of B. The sums have rows of an
/// upper and of a lower tile of A; no lower ones: they all lie side by side.
fn tiles([upper, lower]: [usize; 2], pairs: usize) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let below = if lower > 0 { lower } else { upper };
    let a_or_b = if lower > 0 { (lower, pairs) } else { (pairs, SIDE) };
    let sums = [(upper, SIDE), (upper, SIDE), (below, SIDE), (below, SIDE)];
    let factors = [(upper, pairs), a_or_b, (pairs, SIDE), (pairs, SIDE)];
    for (tile, (rows, columns)) in sums.into_iter().chain(factors).enumerate() {
        bytes[16 + 2 * tile] = (columns * size_of::<Pair>()) as u8;
        bytes[48 + tile] = rows as u8;
    }
    bytes
}

/// A matrix in memory: where it begins and the bytes from a row to the next.
#[derive(Clone, Copy)]
struct Rows<P> {
    first: P,
    stride: usize,
}

/// What a pass multiplies: `steps` tiles of A and of B one after the other. Tiles of B and of C are `apart`
/// from those beside them, in bytes. In every step `lines` lines of the caches are fetched from `ahead` on.
struct Pass {
    setting: Setting,
    start: *const f32,
    steps: usize,
    a: Rows<*const Pair>,
    b: Rows<*const Pair>,
    b_apart: usize,
    c_stride: usize,
    c_apart: usize,
    ahead: *const Pair,
    lines: usize,
}

/// `pass!(name, columns [(B, C) ..])`, or `columns [(B, C, lower C) ..]` with lower tiles: a function that makes
/// a pass with so many tiles of B side by side.
macro_rules! pass {
    ($name:ident, [$(($b:literal, $c:literal $(, $low:literal)?)),+] $(, $lower_a:literal)?) => {
        /// # Safety
        /// All that the pass names must be there to be read, and `c` to be written to, and [`usable`] true.
        unsafe fn $name(pass: Pass) {
            // SAFETY: the caller's word. It writes to no memory but `c`, and leaves the tiles unused.
            unsafe {
                asm!(
                    "ldtilecfg [{at}]",
                    "mov {left}, [{at} + {stride}]",
                    $(concat!("tileloadd tmm", $c, ", [{c} + {left}]"), "add {c}, [{at} + {apart}]",)+
                    "mov {c}, [{at} + {lower}]",
                    $($(concat!("tileloadd tmm", $low, ", [{c} + {left}]"), "add {c}, [{at} + {apart}]",)?)+
                    "mov {c}, [{at} + {to}]",
                    "2:",
                    "tileloadd tmm4, [{a} + {a_stride}]",
                    $(
                        "lea {at}, [{a} + 8 * {a_stride}]",
                        "lea {at}, [{at} + 8 * {a_stride}]",
                        concat!("tileloadd tmm", $lower_a, ", [{at} + {a_stride}]"),
                    )?
                    "mov {at}, {b}",
                    $(
                        concat!("tileloadd tmm", $b, ", [{at} + {b_stride}]"),
                        "add {at}, {b_apart}",
                        concat!("tdpbf16ps tmm", $c, ", tmm4, tmm", $b),
                        $(concat!("tdpbf16ps tmm", $low, ", tmm5, tmm", $b),)?
                    )+
                    "add {a}, 64",
                    "lea {b}, [{b} + 8 * {b_stride}]",
                    "lea {b}, [{b} + 8 * {b_stride}]",
                    "mov {left}, {lines}",
                    "test {left}, {left}",
                    "jz 4f",
                    "3:",
                    "prefetcht1 [{ahead}]",
                    "add {ahead}, 64",
                    "dec {left}",
                    "jnz 3b",
                    "4:",
                    "dec {steps}",
                    "jnz 2b",
                    "lea {at}, [{c} + 8 * {c_stride}]",
                    "lea {at}, [{at} + 8 * {c_stride}]",
                    $(concat!("tilestored [{c} + {c_stride}], tmm", $c), "add {c}, {c_apart}",)+
                    $($(concat!("tilestored [{at} + {c_stride}], tmm", $low), "add {at}, {c_apart}",)?)+
                    "tilerelease",
                    at = inout(reg) &raw const pass.setting => _,
                    steps = inout(reg) pass.steps => _,
                    a = inout(reg) pass.a.first => _,
                    a_stride = in(reg) pass.a.stride,
                    b = inout(reg) pass.b.first => _,
                    b_stride = in(reg) pass.b.stride,
                    b_apart = in(reg) pass.b_apart,
                    c = inout(reg) pass.start => _,
                    c_stride = in(reg) pass.c_stride,
                    c_apart = in(reg) pass.c_apart,
                    ahead = inout(reg) pass.ahead => _,
                    lines = in(reg) pass.lines,
                    left = out(reg) _,
                    lower = const offset_of!(Setting, lower),
                    stride = const offset_of!(Setting, stride),
                    apart = const offset_of!(Setting, apart),
                    to = const offset_of!(Setting, c),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }
    };
}

pass!(one, [(5, 0)]);
pass!(two, [(5, 0), (6, 1)]);
pass!(three, [(5, 0), (6, 1), (7, 2)]);
pass!(four, [(5, 0), (6, 1), (7, 2), (5, 3)]);
pass!(one_below, [(6, 0, 2)], 5);
pass!(two_below, [(6, 0, 2), (7, 1, 3)], 5);

/// `c[r][v] ← start + Σ a(r, k) · b[k][v]` for `rows` rows of at least one of `terms` pairs, `row` apart; of `c`
/// they are `stride` apart, and their registers `apart`. They start from a line of registers so far apart, or
/// from what is there. Numbers below the smallest normal one are taken as 0.
pub(super) fn multiply_add(
    rows: usize,
    a: &[Pair],
    row: usize,
    terms: usize,
    b: Panel<'_, Pair>,
    start: Option<(&[f32], usize)>,
    c: &mut [f32],
    [stride, apart]: [usize; 2],
) {
    assert!(usable() && rows * terms * b.vectors > 0, "tiles, and something to multiply");
    assert!((rows - 1) * row + terms <= a.len(), "rows of the left-hand matrix");
    assert!((terms - 1) * b.stride + (b.vectors - 1) * b.apart + SIDE <= b.data.len(), "a panel");
    assert!((rows - 1) * stride + (b.vectors - 1) * apart + SIDE <= c.len(), "rows of sums");
    let within = |(line, apart): (&[f32], usize)| (b.vectors - 1) * apart + SIDE <= line.len();
    assert!(start.is_none_or(within), "what sums start from");
    let size = size_of::<Pair>();
    let whole = terms / SIDE;
    // Of 17 rows and more two tiles of each of two registers of the panel, of the rest one tile of each.
    let width = |first: usize| if rows - first > SIDE { 2 } else { 4 };
    let heights = (0..rows).step_by(2 * SIDE);
    let passes: usize = heights.clone().map(|first| b.vectors.div_ceil(width(first))).sum();
    let lines = (b.ahead.len() / SIDE).div_ceil(passes * terms.div_ceil(SIDE));
    let mut ahead = b.ahead.as_ptr();
    for first in heights {
        let [upper, lower] = [first, first + SIDE].map(|first| SIDE.min(rows.saturating_sub(first)));
        for v in (0..b.vectors).step_by(width(first)) {
            let beside = width(first).min(b.vectors - v);
            for (from, steps, pairs) in [(0, whole, SIDE), (whole * SIDE, 1, terms % SIDE)] {
                if steps * pairs == 0 {
                    continue;
                }
                let to = c[first * stride + v * apart..].as_mut_ptr();
                // After the first pass from what it left.
                let (start, start_stride, start_apart) = match start {
                    Some((line, apart)) if from == 0 => (line[v * apart..].as_ptr(), 0, apart),
                    _ => (to.cast_const(), stride, apart),
                };
                let setting = Setting {
                    tiles: tiles([upper, lower], pairs),
                    lower: start.wrapping_add(SIDE * start_stride),
                    stride: start_stride * size,
                    apart: start_apart * size,
                    c: to,
                };
                let pass = Pass {
                    setting,
                    start,
                    steps,
                    a: Rows { first: a[first * row + from..].as_ptr(), stride: row * size },
                    b: Rows {
                        first: b.data[from * b.stride + v * b.apart..].as_ptr(),
                        stride: b.stride * size,
                    },
                    b_apart: b.apart * size,
                    c_stride: stride * size,
                    c_apart: apart * size,
                    ahead,
                    lines,
                };
                ahead = ahead.wrapping_add(steps * lines * SIDE);
                // SAFETY: the assertions above bound what is read and written.
                unsafe {
                    match (lower > 0, beside) {
                        (false, 1) => one(pass),
                        (false, 2) => two(pass),
                        (false, 3) => three(pass),
                        (false, _) => four(pass),
                        (true, 1) => one_below(pass),
                        (true, _) => two_below(pass),
                    }
                }
            }
        }
    }
}
