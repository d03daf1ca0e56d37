// A token's row of the table += the sum of its chunks' sums, in their order.
struct P {
    columns: u32, firsts: u32, chunks: u32,
    table: u32, table_row: u32, table_column: u32,
    site: u32, limit: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> sorted: array<u32>;
@group(0) @binding(3) var<storage, read> parts: array<f32>;
@group(0) @binding(4) var<storage, read_write> table: array<f32>;

const COLUMNS = 64u;

@compute @workgroup_size(COLUMNS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let column = group.x * COLUMNS + local;
    if column >= p.columns || group.y >= sorted[2] {
        return;
    }
    let first = sorted[p.firsts + 2u * group.y];
    let end = sorted[p.firsts + 2u * group.y + 1u];
    let token = sorted[p.chunks + 3u * first];
    var sum = 0.0;
    for (var chunk = first; chunk < end; chunk++) {
        sum += parts[chunk * p.columns + column];
    }
    if p.limit == NONE || kept(p.site, token, 0u, 0u, p.limit) {
        table[p.table + token * p.table_row + column * p.table_column] += p.scale * sum;
    }
}
