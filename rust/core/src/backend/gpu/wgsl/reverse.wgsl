// y (+)= the counted steps of each row of x in reverse order; 0 at the others.
struct P { len: u32, width: u32, batch: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
    let place = i / p.width;
    let row = place % p.batch;
    let step = place / p.batch;
    let length = lengths[row];
    var moved = 0.0;
    if step < length {
        moved = x[((length - 1u - step) * p.batch + row) * p.width + i % p.width];
    }
    let before = select(0.0, y[i], p.add != 0u);
    y[i] = before + moved;
}
