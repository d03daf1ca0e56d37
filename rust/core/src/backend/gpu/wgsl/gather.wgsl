// out (+)= table[token] * mask[token] + bias, place by place; 0 in place of the row of token -1.
struct P {
    rows: u32, columns: u32,
    table: u32, table_row: u32, table_column: u32,
    bias: u32,
    out: u32, out_row: u32, out_column: u32,
    add: u32,
    site: u32, limit: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> tokens: array<i32>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.rows * p.columns {
        return;
    }
    let row = i / p.columns;
    let column = i % p.columns;
    let token = tokens[row];
    var y = 0.0;
    if token >= 0 && (p.limit == NONE || kept(p.site, u32(token), 0u, 0u, p.limit)) {
        y = p.scale * table[p.table + u32(token) * p.table_row + column * p.table_column];
    }
    if p.bias != NONE {
        y += bias[p.bias + column];
    }
    let at = p.out + row * p.out_row + column * p.out_column;
    if p.add != 0u {
        y += out[at];
    }
    out[at] = y;
}
