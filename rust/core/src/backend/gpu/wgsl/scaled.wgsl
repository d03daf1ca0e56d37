// y (+)= x * scale, number by number of two matrices.
struct P {
    rows: u32, columns: u32,
    x: u32, x_row: u32, x_column: u32,
    y: u32, y_row: u32, y_column: u32,
    scale: f32, add: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.rows * p.columns {
        return;
    }
    let row = i / p.columns;
    let column = i % p.columns;
    let at = p.y + row * p.y_row + column * p.y_column;
    let before = select(0.0, y[at], p.add != 0u);
    y[at] = before + p.scale * x[p.x + row * p.x_row + column * p.x_column];
}
