// y = x . d place by place, d one vector a row: one workgroup a place.
struct P { places: u32, width: u32, batch: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let place = group.x + group.y * GRID;
    if place >= p.places {
        return;
    }
    let row = place % p.batch;
    var sum = 0.0;
    for (var j = local; j < p.width; j += THREADS) {
        sum += x[place * p.width + j] * d[row * p.width + j];
    }
    sum = sum_of(local, sum);
    if local == 0u {
        y[p.first + place] = sum;
    }
}
