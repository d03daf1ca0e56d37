// de = a (da - sum a da) over the steps of each query's memory: one workgroup a query. Where a step does not
// count a is 0.
struct P { queries: u32, steps: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> d_shares: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_scores: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let query = group.x + group.y * GRID;
    if query >= p.queries {
        return;
    }
    let d_at = query * p.steps;
    let at = (p.first + query) * p.steps;
    var sum = 0.0;
    for (var s = local; s < p.steps; s += THREADS) {
        sum += shares[at + s] * d_shares[d_at + s];
    }
    let mean = sum_of(local, sum);
    for (var s = local; s < p.steps; s += THREADS) {
        d_scores[at + s] = shares[at + s] * (d_shares[d_at + s] - mean);
    }
}
