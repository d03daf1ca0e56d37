// dz = (softmax(z) - onehot(y)) / n, 0 where there is no target.
struct P { rows: u32, classes: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> log_probs: array<f32>;
@group(0) @binding(5) var<storage, read_write> d: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.rows * p.classes {
        return;
    }
    let row = i / p.classes;
    let target_of = targets[row];
    var y = 0.0;
    if target_of >= 0 {
        // ln sum exp z
        let log_sum = logits[row * p.classes + u32(target_of)] - log_probs[row];
        let share = exp(logits[i] - log_sum);
        y = (share - select(0.0, 1.0, i % p.classes == u32(target_of))) / f32(run.scored);
    }
    d[i] = y;
}
