// dx = (g - mean g - n mean(g n)) * scale with g = d * gain, over neighbouring columns of each row: one
// workgroup a row.
struct P {
    rows: u32, width: u32,
    d: u32, d_row: u32, gain: u32,
    n: u32, n_row: u32, scale: u32,
    dx: u32, dx_row: u32,
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
    let d_start = p.d + row * p.d_row;
    let n_start = p.n + row * p.n_row;
    var sum = 0.0;
    var along = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        let g = d[d_start + j] * values[p.gain + j];
        sum += g;
        along += g * n[n_start + j];
    }
    let mean = sum_of(local, sum) / f32(p.width);
    along = sum_of(local, along) / f32(p.width);
    for (var j = local; j < p.width; j += THREADS) {
        let g = d[d_start + j] * values[p.gain + j];
        dx[p.dx + row * p.dx_row + j] = (g - mean - along * n[n_start + j]) * scales[p.scale + row];
    }
}
