// dx (+)= (d - mean d - n mean(d n)) * scale with d = dy * gain, one workgroup a row.
struct P { rows: u32, width: u32, gain: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> values: array<f32>;
@group(0) @binding(4) var<storage, read> n: array<f32>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.x + group.y * GRID;
    if row >= p.rows {
        return;
    }
    let base = row * p.width;
    var sum = 0.0;
    var along = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        let d = dy[base + j] * values[p.gain + j];
        sum += d;
        along += d * n[base + j];
    }
    let mean = sum_of(local, sum) / f32(p.width);
    along = sum_of(local, along) / f32(p.width);
    for (var j = local; j < p.width; j += THREADS) {
        let d = dy[base + j] * values[p.gain + j];
        let before = select(0.0, dx[base + j], p.add != 0u);
        dx[base + j] = before + (d - mean - along * n[base + j]) * scales[row];
    }
}
