// y = the sum over the counted steps of each row of share * x, of `steps` steps from `first` on, beside what
// y has of those before. A workgroup has 16 units of a row, 16 threads a unit.
struct P { batch: u32, width: u32, first: u32, steps: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<u32>;
@group(0) @binding(4) var<storage, read> shares: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

const COLUMNS = 16u;
var<workgroup> parts: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y + group.z * GRID;
    let unit = group.x * COLUMNS + local % COLUMNS;
    let slice = local / COLUMNS;
    let there = row < p.batch && unit < p.width;
    let length = select(0u, lengths[min(row, p.batch - 1u)], there);
    let end = min(max(length, p.first) - p.first, p.steps);
    var sum = 0.0;
    for (var step = slice; step < end; step += COLUMNS) {
        let place = step * p.batch + row;
        sum += shares[p.first * p.batch + place] * x[place * p.width + unit];
    }
    parts[local] = sum;
    workgroupBarrier();
    if slice > 0u || !there {
        return;
    }
    let at = row * p.width + unit;
    var answer = select(0.0, y[at], p.first > 0u);
    for (var i = 0u; i < COLUMNS; i++) {
        answer += parts[i * COLUMNS + local];
    }
    y[at] = answer;
}
