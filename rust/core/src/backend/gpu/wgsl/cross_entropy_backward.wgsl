// dz = (softmax(z) - onehot(y)) / n in place of z, 0 where there is no target.
struct P { rows: u32, classes: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> log_sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.rows * p.classes {
        return;
    }
    let row = i / p.classes;
    let target_of = targets[p.first + row];
    var d = 0.0;
    if target_of >= 0 {
        let share = exp(z[i] - log_sums[row]);
        d = (share - select(0.0, 1.0, i % p.classes == u32(target_of))) / f32(run.scored);
    }
    z[i] = d;
}
