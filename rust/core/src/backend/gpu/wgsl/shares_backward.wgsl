// ds = a (da - sum a da) over the counted steps of each row, one workgroup a row; 0 at the others.
struct P { batch: u32, steps: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> d_shares: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<u32>;
@group(0) @binding(5) var<storage, read_write> d_scores: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x + group.y * GRID;
    if row >= p.batch {
        return;
    }
    let length = lengths[row];
    var sum = 0.0;
    for (var step = local; step < length; step += THREADS) {
        let place = step * p.batch + row;
        sum += shares[place] * d_shares[place];
    }
    let mean = sum_of(local, sum);
    for (var step = local; step < p.steps; step += THREADS) {
        let place = step * p.batch + row;
        var d = 0.0;
        if step < length {
            d = shares[place] * (d_shares[place] - mean);
        }
        d_scores[place] = d;
    }
}
