// softmax over the counted steps of each row, one workgroup a row; 0 at the others.
struct P { batch: u32, steps: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x + group.y * GRID;
    if row >= p.batch {
        return;
    }
    let length = lengths[row];
    var top = -3.0e38;
    for (var step = local; step < length; step += THREADS) {
        top = max(top, scores[step * p.batch + row]);
    }
    top = largest_of(local, top);
    var sum = 0.0;
    for (var step = local; step < length; step += THREADS) {
        sum += exp(scores[step * p.batch + row] - top);
    }
    sum = sum_of(local, sum);
    for (var step = local; step < p.steps; step += THREADS) {
        let place = step * p.batch + row;
        var share = 0.0;
        if step < length {
            share = exp(scores[place] - top) / sum;
        }
        shares[place] = share;
    }
}
