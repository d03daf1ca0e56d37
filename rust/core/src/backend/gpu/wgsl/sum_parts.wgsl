// out (+)= the sum over parts of x, each (rows, columns), in their order, + bias. The third dimension of the grid
// is of one or two such sums: see gemm.wgsl.
struct P {
    rows: u32, columns: u32, parts: u32, at: u32, row: u32, add: u32, bias: u32,
    other: u32, bias_other: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    let size = p.rows * p.columns;
    if i >= size {
        return;
    }
    let at = p.at + group.z * p.other + (i / p.columns) * p.row + i % p.columns;
    var sum = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        sum += x[(group.z * p.parts + part) * size + i];
    }
    if p.bias != NONE {
        sum += bias[p.bias + group.z * p.bias_other + i % p.columns];
    }
    if p.add != 0u {
        sum += out[at];
    }
    out[at] = sum;
}
