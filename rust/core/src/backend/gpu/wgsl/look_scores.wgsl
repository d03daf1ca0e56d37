// e (+)= a sum over k of how a query meets a key, for each query and each step of its row's memory. Queries
// are of all rows at one time, or at one time after the other.
struct P { queries: u32, batch: u32, steps: u32, size: u32, first: u32, end: u32, add: u32, q: u32, vector: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<f32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> e: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.queries * p.steps {
        return;
    }
    let query = i / p.steps;
    let q_at = p.q + query * p.size;
    let key_at = ((query % p.batch) * p.steps + i % p.steps) * p.size;
    var sum = select(0.0, e[i], p.add != 0u);
    for (var k = p.first; k < p.end; k++) {
        sum += /*term*/;
    }
    e[i] = sum;
}
