// log p = z_y - ln sum exp(z), one workgroup a row, and ln sum exp(z); log p is 0 where there is no target.
struct P { rows: u32, classes: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read_write> log_probs: array<f32>;
@group(0) @binding(5) var<storage, read_write> log_sums: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The whole workgroup has one row: where it ends early, it does so together.
    let row = group.x + group.y * GRID;
    if row >= p.rows {
        return;
    }
    let target_of = targets[p.first + row];
    let first = row * p.classes;
    var top = -3.0e38;
    for (var j = local; j < p.classes; j += THREADS) {
        top = max(top, logits[first + j]);
    }
    top = largest_of(local, top);
    var sum = 0.0;
    for (var j = local; j < p.classes; j += THREADS) {
        sum += exp(logits[first + j] - top);
    }
    sum = sum_of(local, sum);
    if local == 0u {
        var y = 0.0;
        if target_of >= 0 {
            y = logits[first + u32(target_of)] - top - log(sum);
        }
        log_probs[p.first + row] = y;
        log_sums[row] = top + log(sum);
    }
}
