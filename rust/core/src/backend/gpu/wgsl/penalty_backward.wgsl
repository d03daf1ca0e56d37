// dx (+)= 2 activation x / n + 2 temporal (x - before) / m - 2 temporal (after - x) / m. Steps before and after
// those of x as in penalty.wgsl.
struct P { len: u32, width: u32, batch: u32, first: u32, last: u32, activation: f32, temporal: f32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> x_before: array<f32>;
@group(0) @binding(4) var<storage, read> x_after: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<u32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
    let stride = p.batch * p.width;
    let step = p.first + i / stride;
    let length = lengths[(i % stride) / p.width];
    let own = 2.0 * p.activation / f32(max(run.steps, 1u) * p.width);
    let change = 2.0 * p.temporal / f32(max(run.pairs, 1u) * p.width);
    var d = 0.0;
    if step < length {
        d = own * x[i];
        if i >= stride {
            d += change * (x[i] - x[i - stride]);
        } else if step > 0u {
            d += change * (x[i] - x_before[p.last + i]);
        }
        if step + 1u < length {
            if i + stride < p.len {
                d -= change * (x[i + stride] - x[i]);
            } else {
                d -= change * (x_after[i % stride] - x[i]);
            }
        }
    }
    let before = select(0.0, dx[i], p.add != 0u);
    dx[i] = before + d;
}
