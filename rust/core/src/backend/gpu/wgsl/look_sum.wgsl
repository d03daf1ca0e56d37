// y (+)= a sum over the steps of each query's memory of a number that belongs to the step times a vector of it.
struct P {
    queries: u32, batch: u32, steps: u32, size: u32,
    place: u32, first: u32, end: u32, add: u32,
    q: u32, vector: u32, y: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
/*bindings*/

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.queries * p.size {
        return;
    }
    let query = i / p.size;
    let k = i % p.size;
    let key_at = (query % p.batch) * p.steps * p.size + k;
    let share_at = (p.place + query) * p.steps;
    var sum = select(0.0, y[p.y + i], p.add != 0u);
    for (var s = p.first; s < p.end; s++) {
        let key = keys[key_at + s * p.size];
        sum += shares[share_at + s] * /*term*/;
    }
    y[p.y + i] = sum;
}
