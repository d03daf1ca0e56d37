// Clipping, weight decay and the update rule of optim/rules.rs, weight by weight, where norm.wgsl allows it.
struct P {
    len: u32,
    // 0: gradient descent, 1: with momentum, 2: RMSprop, 3: Adam.
    rule: u32,
    bound: f32, limit: f32,
    added: f32, kept: f32,
    // Decay of the first and of the second average, and 1 minus them.
    a: f32, rest_a: f32, b: f32, rest_b: f32,
    eps: f32, rate: f32, root: f32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read> outcome: array<f32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> first: array<f32>;
@group(0) @binding(6) var<storage, read_write> second: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    let norm = outcome[1];
    if i >= p.len || outcome[3] == 0.0 {
        return;
    }
    let scale = select(1.0, p.limit / norm, norm > p.limit);
    let weight = values[i];
    let g = flush(clip(gradient[i], p.bound) * scale + p.added * weight);
    var taken = 0.0;
    if p.rule == 0u {
        taken = p.rate * g;
    } else if p.rule == 1u {
        let v = flush(p.a * first[i] + g);
        first[i] = v;
        taken = p.rate * v;
    } else if p.rule == 2u {
        let s = flush(p.a * first[i] + p.rest_a * g * g);
        first[i] = s;
        taken = p.rate * (g / (sqrt(s) + p.eps));
    } else {
        let m = flush(p.a * first[i] + p.rest_a * g);
        let v = flush(p.b * second[i] + p.rest_b * g * g);
        first[i] = m;
        second[i] = v;
        taken = p.rate * (m / (sqrt(v) * p.root + p.eps));
    }
    values[i] = flush(p.kept * weight - taken);
}
