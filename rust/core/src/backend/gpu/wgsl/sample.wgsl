// A token from each row's logits, as sampling.rs draws it: one workgroup a row. A row that has drawn its stop
// token counts no more. Sums are in single precision here.
struct P { rows: u32, classes: u32, top_k: u32, top_p: f32, temperature: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
// Whether a token may be drawn.
@group(0) @binding(3) var<storage, read> allowed: array<u32>;
// Of each row: the two words of its seed, its stop token, and in two words how many it has drawn.
@group(0) @binding(4) var<storage, read_write> texts: array<u32>;
@group(0) @binding(5) var<storage, read_write> tokens: array<i32>;
@group(0) @binding(6) var<storage, read_write> lengths: array<u32>;
// Of each row, from the end of the list on backwards: how many; before them (token, bits of log p).
@group(0) @binding(7) var<storage, read_write> drawn: array<u32>;

const TEXT = 5u;
// `Kind::Sample` in rng.rs, at place 0 of the model.
const SAMPLE = 0x3000000u;
// A token whose logit is this far below, times the temperature, has no weight.
const LEAST = -87.0;
var<workgroup> parts: array<f32, THREADS>;

// A number's place in the order of floats; there is one zero.
fn key(x: f32) -> u32 {
    let bits = select(bitcast<u32>(x), 0u, x == 0.0);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

struct Row { first: u32, local: u32, most: f32, temperature: f32 }

fn weight(r: Row, j: u32) -> f32 {
    let down = (logits[r.first + j] - r.most) / r.temperature;
    return select(0.0, exp(down), allowed[j] != 0u && down >= LEAST);
}

// Tokens before a cut: those with a larger key, and of those with its key the ones below `index`.
struct Cut { key: u32, index: u32 }

fn before(r: Row, j: u32, cut: Cut) -> bool {
    let own = key(logits[r.first + j]);
    return allowed[j] != 0u && (own > cut.key || own == cut.key && j < cut.index);
}

// How many tokens, or how much weight, is before a cut and also before another one.
fn amount(r: Row, cut: Cut, within: Cut, weighs: bool) -> f32 {
    var sum = 0.0;
    for (var j = r.local; j < p.classes; j += THREADS) {
        if before(r, j, cut) && before(r, j, within) {
            sum += select(1.0, weight(r, j), weighs);
        }
    }
    return sum_of(r.local, sum);
}

// The first cut within another before which there is enough.
fn cut_at(r: Row, enough: f32, within: Cut, weighs: bool) -> Cut {
    var cut = Cut(0u, p.classes);
    // The largest key that is enough with all its tokens, bit by bit.
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        if amount(r, Cut(cut.key | bit, p.classes), within, weighs) >= enough {
            cut.key |= bit;
        }
    }
    // The most of them that are not enough.
    var few = 0u;
    for (var bit = 1u << firstLeadingBit(p.classes); bit > 0u; bit >>= 1u) {
        let more = few | bit;
        if amount(r, Cut(cut.key, min(more, p.classes)), within, weighs) < enough && more < p.classes {
            few = more;
        }
    }
    cut.index = few + 1u;
    return cut;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The whole workgroup has one row: where it ends early, it does so together.
    let row = group.x;
    if lengths[row] == 0u {
        return;
    }
    var r = Row(row * p.classes, local, 0.0, max(p.temperature, 1.2e-38));
    var top = -3.4e38;
    var most = -3.4e38;
    var broken = 0.0;
    for (var j = local; j < p.classes; j += THREADS) {
        let x = logits[r.first + j];
        broken += select(1.0, 0.0, is_finite(x));
        top = max(top, x);
        most = max(most, select(-3.4e38, x, allowed[j] != 0u));
    }
    broken = sum_of(local, broken);
    top = largest_of(local, top);
    r.most = largest_of(local, most);
    var all = 0.0;
    for (var j = local; j < p.classes; j += THREADS) {
        all += exp(logits[r.first + j] - top);
    }
    let log_sum = log(sum_of(local, all));

    var within = Cut(0u, p.classes);
    if p.temperature == 0.0 {
        // The first of the largest.
        within = cut_at(r, 1.0, within, false);
    } else {
        if p.top_k < p.classes {
            within = cut_at(r, f32(p.top_k), within, false);
        }
        if p.top_p < 1.0 {
            let needed = p.top_p * amount(r, within, within, true);
            within = cut_at(r, needed, within, true);
        }
    }
    // A block of neighbouring tokens a thread: the one in which the running sum first exceeds the target.
    let block = (p.classes + THREADS - 1u) / THREADS;
    let end = min((local + 1u) * block, p.classes);
    var sum = 0.0;
    for (var j = local * block; j < end; j++) {
        if before(r, j, within) {
            sum += weight(r, j);
        }
    }
    parts[local] = sum;
    workgroupBarrier();
    let text = row * TEXT;
    if local == 0u {
        let stream = vec4<u32>(texts[text], texts[text + 1u], SAMPLE, 0u);
        let u = f32(threefry(stream, vec4<u32>(texts[text + 3u], texts[text + 4u], 0u, 0u)).x >> 8u) / 16777216.0;
        var whole = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            whole += parts[i];
        }
        let wanted = u * whole;
        // Of the blocks with weight the one in which the sum exceeds that, or the last.
        var block_of = 0u;
        var base = 0.0;
        var so_far = 0.0;
        for (var i = 0u; i < THREADS; i++) {
            if parts[i] > 0.0 && so_far <= wanted {
                block_of = i;
                base = so_far;
            }
            so_far += parts[i];
        }
        var chosen = NONE;
        for (var j = block_of * block; j < min((block_of + 1u) * block, p.classes); j++) {
            if base <= wanted && before(r, j, within) && weight(r, j) > 0.0 {
                base += weight(r, j);
                chosen = j;
            }
        }
        let count = drawn[arrayLength(&drawn) - 1u - row];
        let at = 2u * (count * p.rows + row);
        if broken > 0.0 {
            chosen = NONE;
        }
        drawn[at] = chosen;
        drawn[at + 1u] = bitcast<u32>(logits[r.first + min(chosen, p.classes - 1u)] - top - log_sum);
        drawn[arrayLength(&drawn) - 1u - row] = count + 1u;
        tokens[row] = i32(chosen);
        texts[text + 3u] += 1u;
        if texts[text + 3u] == 0u {
            texts[text + 4u] += 1u;
        }
        if chosen == NONE || chosen == texts[text + 2u] {
            lengths[row] = 0u;
        }
    }
}
