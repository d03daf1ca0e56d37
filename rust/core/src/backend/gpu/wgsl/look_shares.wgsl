// a = softmax(e) over the steps of each query's memory that count, 0 at the others: one workgroup a query.
struct P { queries: u32, batch: u32, steps: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> e: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> shares: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The whole workgroup has one query: where it ends early, it does so together.
    let query = group.x + group.y * GRID;
    if query >= p.queries {
        return;
    }
    let length = lengths[query % p.batch];
    let e_at = query * p.steps;
    let to = (p.first + query) * p.steps;
    var top = -3.0e38;
    for (var s = local; s < length; s += THREADS) {
        top = max(top, e[e_at + s]);
    }
    top = largest_of(local, top);
    var sum = 0.0;
    for (var s = local; s < length; s += THREADS) {
        sum += exp(e[e_at + s] - top);
    }
    sum = sum_of(local, sum);
    for (var s = local; s < p.steps; s += THREADS) {
        var share = 0.0;
        if s < length {
            share = exp(e[e_at + s] - top) / sum;
        }
        shares[to + s] = share;
    }
}
