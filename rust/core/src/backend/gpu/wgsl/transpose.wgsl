// out = the transpose of x (rows, columns), by tiles of 16 x 16.
struct P { rows: u32, columns: u32, x: u32, at: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<workgroup> tile: array<f32, 272>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let minor = local % 16u;
    let major = local / 16u;
    let row = group.y * 16u + major;
    let column = group.x * 16u + minor;
    if row < p.rows && column < p.columns {
        tile[major * 17u + minor] = x[p.x + row * p.columns + column];
    }
    workgroupBarrier();
    let to_row = group.x * 16u + major;
    let to_column = group.y * 16u + minor;
    if to_row < p.columns && to_column < p.rows {
        out[p.at + to_row * p.rows + to_column] = tile[minor * 17u + major];
    }
}
