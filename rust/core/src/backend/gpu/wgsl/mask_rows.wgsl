// out (+)= x with each number at random 0 or multiplied by `scale`: one mask for the whole run. A row has the
// mask of its number, as dropout at time 0 has it.
struct P { rows: u32, columns: u32, x: u32, at: u32, site: u32, limit: u32, scale: f32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.rows * p.columns {
        return;
    }
    let keep = kept(p.site, i % p.columns, i / p.columns, 0u, p.limit);
    var y = select(0.0, x[p.x + i] * p.scale, keep);
    if p.add != 0u {
        y += out[p.at + i];
    }
    out[p.at + i] = y;
}
