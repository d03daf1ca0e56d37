// activation mean x x + temporal mean (x - x of the step before)^2 over the counted steps: the sums of
// chunks of numbers. x is of the steps from `first` on; the step before them is in `x_before` from `last` on.
struct P { len: u32, width: u32, batch: u32, first: u32, last: u32, activation: f32, temporal: f32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> x_before: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<u32>;
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;

const EACH = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let stride = p.batch * p.width;
    var own = 0.0;
    var change = 0.0;
    for (var j = 0u; j < EACH; j++) {
        let i = (group.x * EACH + j) * THREADS + local;
        if i < p.len && p.first + i / stride < lengths[(i % stride) / p.width] {
            own += x[i] * x[i];
            if i >= stride {
                let d = x[i] - x[i - stride];
                change += d * d;
            } else if p.first > 0u {
                let d = x[i] - x_before[p.last + i];
                change += d * d;
            }
        }
    }
    own = sum_of(local, own);
    change = sum_of(local, change);
    if local == 0u {
        parts[group.x] = own * p.activation / f32(max(run.steps, 1u) * p.width)
            + change * p.temporal / f32(max(run.pairs, 1u) * p.width);
    }
}
