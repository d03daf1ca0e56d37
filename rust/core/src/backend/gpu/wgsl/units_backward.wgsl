// d = ds context (1 - u u), place by place and unit by unit.
struct P { len: u32, size: u32, toward: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> d_scores: array<f32>;
@group(0) @binding(3) var<storage, read> units: array<f32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i < p.len {
        let u = units[i];
        d[i] = d_scores[p.first + i / p.size] * values[p.toward + i % p.size] * (1.0 - u) * (1.0 + u);
    }
}
