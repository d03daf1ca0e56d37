// dx (+)= the gradient of what pool.wgsl took from each step.
struct P { len: u32, batch: u32, width: u32, how: u32, first: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read> chosen: array<u32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.len {
        return;
    }
    let stride = p.batch * p.width;
    let step = p.first + i / stride;
    let at = i % stride;
    let unit = i % p.width;
    let length = lengths[at / p.width];
    var d = 0.0;
    if step < length {
        if p.how == 4u {
            d = dy[at] / f32(length);
        } else {
            var taken = length - 1u;
            if p.how == 5u {
                taken = chosen[at];
            } else if p.how == 1u && unit >= p.width / 2u {
                taken = 0u;
            } else if p.how == 2u {
                taken = (length - 1u) / 2u;
            } else if p.how == 3u {
                taken = length / 2u;
            }
            d = select(0.0, dy[at], step == taken);
        }
    }
    let before = select(0.0, dx[i], p.add != 0u);
    dx[i] = before + d;
}
