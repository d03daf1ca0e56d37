// y (+)= x * mask, the mask 1 / (1 - p) or 0.
struct P { len: u32, width: u32, batch: u32, first: u32, once: u32, site: u32, limit: u32, scale: f32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> times: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
    let place = i / p.width;
    var time = 0u;
    if p.once == 0u {
        time = times[p.first + place];
    }
    let before = select(0.0, y[i], p.add != 0u);
    let keep = kept(p.site, i % p.width, place % p.batch, time, p.limit);
    y[i] = before + select(0.0, p.scale * x[i], keep);
}
