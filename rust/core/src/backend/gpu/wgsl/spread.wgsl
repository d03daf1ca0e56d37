// dx (+)= share * dy, dy one vector a row.
struct P { len: u32, width: u32, batch: u32, first: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> shares: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
    let place = i / p.width;
    let before = select(0.0, dx[i], p.add != 0u);
    dx[i] = before + shares[p.first + place] * dy[(place % p.batch) * p.width + i % p.width];
}
