// A part's sum over its rows of each column of x y, number by number: (parts, columns) from (rows, columns).
struct P { rows: u32, columns: u32, chunk: u32, x: u32, x_row: u32, y: u32, y_row: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let column = group.x * THREADS + local;
    if column >= p.columns {
        return;
    }
    let end = min(p.rows, (group.y + 1u) * p.chunk);
    var sum = 0.0;
    for (var row = group.y * p.chunk; row < end; row++) {
        sum = fma(x[p.x + row * p.x_row + column], y[p.y + row * p.y_row + column], sum);
    }
    out[group.y * p.columns + column] = sum;
}
