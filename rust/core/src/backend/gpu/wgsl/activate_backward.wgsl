// dx (+)= dy f'(x), f'(x) as a function of y = f(x): the statements say which.
struct P { len: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
/*statements*/
    let before = select(0.0, dx[i], p.add != 0u);
    dx[i] = before + dy[i] * slope;
}
