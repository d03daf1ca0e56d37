// Of each chunk of gradients the sum of their squares, each cut to +-bound first if it is finite.
struct P { len: u32, bound: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> squares: array<f32>;

const EACH = 64u;
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var j = 0u; j < EACH; j++) {
        let i = (group.x * EACH + j) * THREADS + local;
        if i < p.len {
            let g = gradient[i];
            let cut = select(g, clip(g, p.bound), is_finite(g));
            sum += cut * cut;
        }
    }
    let all = sum_of(local, sum);
    if local == 0u {
        squares[group.x] = all;
    }
}
