// C (+)= A B + bias, by tiles of 64 x 64 of C: a workgroup of 128 threads, each with 8 rows of 4 columns.
// Any of A and B may be transposed: a number of A is at a + m a_m + k a_k, one of B at b + k b_k + n b_n.
// The third dimension of the grid cuts the sum over k: each part of it writes a C of its own. Behind the parts
// of one product may come those of another, whose operands are elsewhere in the same buffers.
struct P {
    m: u32, n: u32, k: u32, chunk: u32,
    a: u32, a_m: u32, a_k: u32,
    b: u32, b_k: u32, b_n: u32,
    c: u32, c_m: u32, c_part: u32,
    bias: u32,
    add: u32,
    parts: u32,
    // From the operands of the first product to those of the other.
    a_other: u32, b_other: u32, c_other: u32, bias_other: u32,
}
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> c: array<f32>;

const TILE = 64u;
const DEPTH = 16u;
const TEAM = 128u;
// A row of a tile of A, of which threads read 8 numbers that others do not.
const A_ROW = 68u;

var<workgroup> a_tile: array<f32, 1088>;
var<workgroup> b_tile: array<vec4<f32>, 256>;

// Two numbers that change side by side from thread to thread, the one with stride 1 first.
fn place(i: u32, depth_first: bool) -> vec2<u32> {
    return select(vec2<u32>(i / TILE, i % TILE), vec2<u32>(i % DEPTH, i / DEPTH), depth_first);
}

@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let m0 = group.x * TILE;
    let n0 = group.y * TILE;
    let part = group.z % p.parts;
    let other = group.z / p.parts;
    let a_at = p.a + other * p.a_other;
    let b_at = p.b + other * p.b_other;
    let k_end = min(p.k, (part + 1u) * p.chunk);
    let row = (local / 16u) * 8u;
    let column = local % 16u;
    var c0 = vec4<f32>(0.0);
    var c1 = vec4<f32>(0.0);
    var c2 = vec4<f32>(0.0);
    var c3 = vec4<f32>(0.0);
    var c4 = vec4<f32>(0.0);
    var c5 = vec4<f32>(0.0);
    var c6 = vec4<f32>(0.0);
    var c7 = vec4<f32>(0.0);
    for (var k0 = part * p.chunk; k0 < k_end; k0 += DEPTH) {
        for (var j = 0u; j < 8u; j++) {
            let at = place(local + j * TEAM, p.a_k == 1u);
            let k = k0 + at.x;
            let m = m0 + at.y;
            var x = 0.0;
            if k < k_end && m < p.m {
                x = a[a_at + m * p.a_m + k * p.a_k];
            }
            a_tile[at.x * A_ROW + at.y] = x;
        }
        for (var j = 0u; j < 2u; j++) {
            let i = local + j * TEAM;
            let at = select(vec2<u32>(i / 16u, i % 16u), vec2<u32>(i % DEPTH, i / DEPTH), p.b_k == 1u);
            let k = k0 + at.x;
            var x = vec4<f32>(0.0);
            if k < k_end {
                let n = n0 + at.y * 4u;
                let first = b_at + k * p.b_k + n * p.b_n;
                if n < p.n { x.x = b[first]; }
                if n + 1u < p.n { x.y = b[first + p.b_n]; }
                if n + 2u < p.n { x.z = b[first + 2u * p.b_n]; }
                if n + 3u < p.n { x.w = b[first + 3u * p.b_n]; }
            }
            b_tile[at.x * 16u + at.y] = x;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let y = b_tile[k * 16u + column];
            let first = k * A_ROW + row;
            c0 = fma(vec4<f32>(a_tile[first]), y, c0);
            c1 = fma(vec4<f32>(a_tile[first + 1u]), y, c1);
            c2 = fma(vec4<f32>(a_tile[first + 2u]), y, c2);
            c3 = fma(vec4<f32>(a_tile[first + 3u]), y, c3);
            c4 = fma(vec4<f32>(a_tile[first + 4u]), y, c4);
            c5 = fma(vec4<f32>(a_tile[first + 5u]), y, c5);
            c6 = fma(vec4<f32>(a_tile[first + 6u]), y, c6);
            c7 = fma(vec4<f32>(a_tile[first + 7u]), y, c7);
        }
        workgroupBarrier();
    }
    write(m0 + row, n0 + column * 4u, part, other, c0);
    write(m0 + row + 1u, n0 + column * 4u, part, other, c1);
    write(m0 + row + 2u, n0 + column * 4u, part, other, c2);
    write(m0 + row + 3u, n0 + column * 4u, part, other, c3);
    write(m0 + row + 4u, n0 + column * 4u, part, other, c4);
    write(m0 + row + 5u, n0 + column * 4u, part, other, c5);
    write(m0 + row + 6u, n0 + column * 4u, part, other, c6);
    write(m0 + row + 7u, n0 + column * 4u, part, other, c7);
}

fn write(m: u32, n: u32, part: u32, other: u32, x: vec4<f32>) {
    if m >= p.m {
        return;
    }
    let at = p.c + other * p.c_other + part * p.c_part + m * p.c_m;
    for (var j = 0u; j < 4u; j++) {
        if n + j < p.n {
            var y = x[j];
            if p.bias != NONE {
                y += bias[p.bias + other * p.bias_other + n + j];
            }
            if p.add != 0u {
                y += c[at + n + j];
            }
            c[at + n + j] = y;
        }
    }
}
