// y += a sum over the times at which a row has looked at a step of its memory, of a number that belongs to
// both times a vector of the query.
struct P { batch: u32, steps: u32, size: u32, first: u32, end: u32, vector: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
/*bindings*/

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.batch * p.steps * p.size {
        return;
    }
    let k = i % p.size;
    let row = i / p.size / p.steps;
    let s = i / p.size % p.steps;
    var sum = y[i];
    for (var t = p.first; t < p.end; t++) {
        let place = t * p.batch + row;
        let query = x[place * p.size + k];
        sum += shares[place * p.steps + s] * /*term*/;
    }
    y[i] = sum;
}
