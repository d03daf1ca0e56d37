// n = (x - mean) / sqrt(variance + eps), y = n * gain + bias, one workgroup a row.
struct P { rows: u32, width: u32, eps: f32, gain: u32, bias: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read_write> n: array<f32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The whole workgroup has one row: where it ends early, it does so together.
    let row = group.x + group.y * GRID;
    if row >= p.rows {
        return;
    }
    let base = row * p.width;
    var sum = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        sum += x[base + j];
    }
    let mean = sum_of(local, sum) / f32(p.width);
    sum = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        let centred = x[base + j] - mean;
        sum += centred * centred;
    }
    let scale = 1.0 / sqrt(sum_of(local, sum) / f32(p.width) + p.eps);
    for (var j = local; j < p.width; j += THREADS) {
        let normed = (x[base + j] - mean) * scale;
        n[base + j] = normed;
        y[base + j] = normed * values[p.gain + j] + values[p.bias + j];
    }
    if local == 0u {
        scales[row] = scale;
    }
}
