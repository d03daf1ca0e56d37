// n = (n - mean) / sqrt(variance + eps) in place and out (+)= n * gain + bias, over neighbouring columns of
// each row: one workgroup a row. The third dimension of the grid is of one layer's directions.
struct P {
    rows: u32, width: u32, eps: f32,
    n: u32, n_row: u32, scale: u32,
    gain: u32, bias: u32,
    out: u32, out_row: u32, add: u32,
    // From the first direction's numbers to those of the other.
    n_other: u32, scale_other: u32, gain_other: u32, bias_other: u32, out_other: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> n: array<f32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The whole workgroup has one row: where it ends early, it does so together.
    let row = group.x + group.y * GRID;
    if row >= p.rows {
        return;
    }
    let start = p.n + group.z * p.n_other + row * p.n_row;
    let gain = p.gain + group.z * p.gain_other;
    let bias = p.bias + group.z * p.bias_other;
    let out_at = p.out + group.z * p.out_other + row * p.out_row;
    var sum = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        sum += n[start + j];
    }
    let mean = sum_of(local, sum) / f32(p.width);
    sum = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        let centred = n[start + j] - mean;
        sum += centred * centred;
    }
    let scale = 1.0 / sqrt(sum_of(local, sum) / f32(p.width) + p.eps);
    for (var j = local; j < p.width; j += THREADS) {
        let normed = (n[start + j] - mean) * scale;
        n[start + j] = normed;
        var y = normed * values[gain + j];
        if p.bias != NONE {
            y += values[bias + j];
        }
        if p.add != 0u {
            y += out[out_at + j];
        }
        out[out_at + j] = y;
    }
    if local == 0u {
        scales[p.scale + group.z * p.scale_other + row] = scale;
    }
}
