// The sum of d over the places of each chunk, all of one token: where that has no other chunk it is added
// to the token's row of the table, else it is a part of a sum: scatter_parts.wgsl.
struct P {
    columns: u32, chunks: u32,
    d: u32, d_row: u32, d_column: u32,
    table: u32, table_row: u32, table_column: u32,
    site: u32, limit: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: P;
// See `Places` in tokens.rs.
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read_write> parts: array<f32>;
@group(0) @binding(5) var<storage, read_write> table: array<f32>;

const COLUMNS = 64u;

@compute @workgroup_size(COLUMNS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let column = group.x * COLUMNS + local;
    let chunk = group.y + group.z * GRID;
    if column >= p.columns || chunk >= sorted[0] {
        return;
    }
    let token = sorted[p.chunks + 3u * chunk];
    let end = sorted[p.chunks + 3u * chunk + 2u];
    var sum = 0.0;
    for (var i = sorted[p.chunks + 3u * chunk + 1u]; i < end; i++) {
        sum += d[p.d + sorted[i] * p.d_row + column * p.d_column];
    }
    if chunk < sorted[1] {
        parts[chunk * p.columns + column] = sum;
    } else if p.limit == NONE || kept(p.site, token, 0u, 0u, p.limit) {
        table[p.table + token * p.table_row + column * p.table_column] += p.scale * sum;
    }
}
