// What every kernel begins with.

const THREADS = 256u;
const GRID = 65535u;
// In place of a number that is not there.
const NONE = 0xffffffffu;

// The numbers of a run: `Run` in run.rs.
struct Run {
    seed_low: u32,
    seed_high: u32,
    step_low: u32,
    step_high: u32,
    training: u32,
    scored: u32,
    // Steps that count in all rows, and pairs of them.
    steps: u32,
    pairs: u32,
}
@group(0) @binding(1) var<uniform> run: Run;

// The number of a thread in a kernel that goes number by number.
fn index(group: vec3<u32>, local: u32) -> u32 {
    return (group.x + group.y * GRID) * THREADS + local;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// 0 in place of a subnormal number; NaN stays NaN.
fn flush(x: f32) -> f32 {
    return select(x, 0.0, abs(x) < 1.1754944e-38);
}

// Each takes the exponential of a number that is not positive: no overflow.
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// The device's own gives NaN for large numbers on some drivers, and loses digits of small ones.
fn tanh_of(x: f32) -> f32 {
    let a = abs(x);
    let e = exp(-2.0 * a);
    let s = x * x;
    // Near 0 the quotient cancels; the series is exact to 2e-9 there.
    let near = x * (1.0 + s * (-0.33333334 + s * (0.13333334 + s * (-0.053968254 + s * 0.021869488))));
    return select(sign(x) * (1.0 - e) / (1.0 + e), near, a < 0.25);
}

fn relu(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0);
}

fn positive(x: f32) -> f32 {
    return select(0.0, 1.0, x > 0.0);
}

fn clip(x: f32, bound: f32) -> f32 {
    let below = select(x, bound, x > bound);
    return select(below, -bound, below < -bound);
}

fn within(x: f32, bound: f32) -> f32 {
    return select(0.0, 1.0, abs(x) < bound);
}

// Threefry-4x32 with 20 rounds (Salmon et al. 2011), as in rng.rs.
fn rotate(x: u32, n: u32) -> u32 {
    return (x << n) | (x >> (32u - n));
}

fn mix_words(x: vec4<u32>, even: bool, first: u32, second: u32) -> vec4<u32> {
    var y = x;
    if even {
        y.x += y.y;
        y.y = rotate(y.y, first) ^ y.x;
        y.z += y.w;
        y.w = rotate(y.w, second) ^ y.z;
    } else {
        y.x += y.w;
        y.w = rotate(y.w, first) ^ y.x;
        y.z += y.y;
        y.y = rotate(y.y, second) ^ y.z;
    }
    return y;
}

fn four_rounds(x: vec4<u32>) -> vec4<u32> {
    return mix_words(mix_words(mix_words(mix_words(x, true, 10u, 26u), false, 11u, 21u), true, 13u, 27u), false, 23u, 5u);
}

fn four_more(x: vec4<u32>) -> vec4<u32> {
    return mix_words(mix_words(mix_words(mix_words(x, true, 6u, 20u), false, 17u, 11u), true, 25u, 10u), false, 18u, 20u);
}

fn threefry(k: vec4<u32>, counter: vec4<u32>) -> vec4<u32> {
    let last = 0x1BD11BDAu ^ k.x ^ k.y ^ k.z ^ k.w;
    var x = counter + k;
    x = four_rounds(x) + vec4<u32>(k.y, k.z, k.w, last + 1u);
    x = four_more(x) + vec4<u32>(k.z, k.w, last, k.x + 2u);
    x = four_rounds(x) + vec4<u32>(k.w, last, k.x, k.y + 3u);
    x = four_more(x) + vec4<u32>(last, k.x, k.y, k.z + 4u);
    x = four_rounds(x) + vec4<u32>(k.x, k.y, k.z, k.w + 5u);
    return x;
}

// Whether unit `unit` of a row at a time is kept: below `limit`, out of 2^24. `site` is the place in the
// model with the kind of draw in its highest byte.
fn kept(site: u32, unit: u32, row: u32, time: u32, limit: u32) -> bool {
    let key = vec4<u32>(run.seed_low, run.seed_high, site, run.step_low);
    let words = threefry(key, vec4<u32>(unit / 4u, row, time, run.step_high));
    return (words[unit % 4u] >> 8u) < limit;
}
