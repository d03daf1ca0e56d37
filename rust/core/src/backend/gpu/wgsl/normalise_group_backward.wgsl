// dx = (g - mean g - n mean(g n)) * scale with g = d * gain, over neighbouring columns of each row: one
// workgroup a row. The third dimension of the grid is of one layer's directions.
struct P {
    rows: u32, width: u32,
    d: u32, d_row: u32, gain: u32,
    n: u32, n_row: u32, scale: u32,
    dx: u32, dx_row: u32,
    // As in normalise_group.wgsl.
    d_other: u32, gain_other: u32, n_other: u32, scale_other: u32, dx_other: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read> n: array<f32>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x + group.y * GRID;
    if row >= p.rows {
        return;
    }
    let d_start = p.d + group.z * p.d_other + row * p.d_row;
    let n_start = p.n + group.z * p.n_other + row * p.n_row;
    let dx_start = p.dx + group.z * p.dx_other + row * p.dx_row;
    let gain = p.gain + group.z * p.gain_other;
    let scale = scales[p.scale + group.z * p.scale_other + row];
    var sum = 0.0;
    var along = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        let g = d[d_start + j] * values[gain + j];
        sum += g;
        along += g * n[n_start + j];
    }
    let mean = sum_of(local, sum) / f32(p.width);
    along = sum_of(local, along) / f32(p.width);
    for (var j = local; j < p.width; j += THREADS) {
        let g = d[d_start + j] * values[gain + j];
        dx[dx_start + j] = (g - mean - along * n[n_start + j]) * scale;
    }
}
