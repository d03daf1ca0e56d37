// y (+)= the counted steps of each row in reverse order; 0 at the others. y is of the steps from `first` on, x of
// `x_steps` from `x_first` on: what is not among them counts as 0.
struct P { len: u32, width: u32, batch: u32, first: u32, x_first: u32, x_steps: u32, add: u32 }
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
    let step = p.first + place / p.batch;
    let length = lengths[row];
    var moved = 0.0;
    if step < length {
        // Wraps round where it is before them.
        let x_step = length - 1u - step - p.x_first;
        if x_step < p.x_steps {
            moved = x[(x_step * p.batch + row) * p.width + i % p.width];
        }
    }
    let before = select(0.0, y[i], p.add != 0u);
    y[i] = before + moved;
}
