// Of the counted steps of each row one (p.how: 0 the last, 1 either end, 2 and 3 the middle ones), their
// mean (4) or the largest number of each unit (5): of `steps` steps from `first` on, beside what y has of those
// before. A workgroup has 16 units of a row, 16 threads a unit.
struct P { batch: u32, width: u32, how: u32, first: u32, steps: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const COLUMNS = 16u;
var<workgroup> parts: array<f32, THREADS>;
var<workgroup> steps: array<u32, THREADS>;

// Whether a is larger than b; NaN counts as larger.
fn above(a: f32, b: f32) -> bool {
    let bits = bitcast<u32>(a) & 0x7fffffffu;
    return a > b || bits > 0x7f800000u;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y + group.z * GRID;
    let unit = group.x * COLUMNS + local % COLUMNS;
    let slice = local / COLUMNS;
    let there = row < p.batch && unit < p.width;
    let length = select(0u, lengths[min(row, p.batch - 1u)], there);
    let end = min(max(length, p.first) - p.first, p.steps);
    let at = row * p.width + unit;
    let stride = p.batch * p.width;
    var sum = 0.0;
    var best = NONE;
    if p.how == 4u {
        for (var step = slice; step < end; step += COLUMNS) {
            sum += x[step * stride + at];
        }
    } else if p.how == 5u {
        if p.first > 0u && slice == 0u && there {
            best = chosen[at];
            sum = y[at];
        }
        for (var step = slice; step < end; step += COLUMNS) {
            let z = x[step * stride + at];
            if best == NONE || above(z, sum) {
                best = p.first + step;
                sum = z;
            }
        }
    }
    parts[local] = sum;
    steps[local] = best;
    workgroupBarrier();
    if slice > 0u || !there {
        return;
    }
    var answer = 0.0;
    if p.how == 4u {
        for (var i = 0u; i < COLUMNS; i++) {
            answer += parts[i * COLUMNS + local];
        }
        answer = select(0.0, y[at], p.first > 0u) + select(0.0, answer / f32(length), length > 0u);
    } else if p.how == 5u {
        for (var i = 1u; i < COLUMNS; i++) {
            let z = parts[i * COLUMNS + local];
            let step = steps[i * COLUMNS + local];
            // Of equal numbers the first step's.
            if step != NONE && (above(z, sum) || z == sum && step < best) {
                best = step;
                sum = z;
            }
        }
        answer = sum;
        chosen[at] = best;
    } else {
        var step = length - 1u;
        if p.how == 1u && unit >= p.width / 2u {
            step = 0u;
        } else if p.how == 2u {
            step = (length - 1u) / 2u;
        } else if p.how == 3u {
            step = length / 2u;
        }
        answer = select(0.0, y[at], p.first > 0u);
        // Without steps, and before the first of these, the difference is too large.
        if length > 0u && step - p.first < p.steps {
            answer = x[(step - p.first) * stride + at];
        }
    }
    y[at] = answer;
}
