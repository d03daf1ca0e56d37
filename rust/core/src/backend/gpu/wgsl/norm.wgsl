// The root of the sum of all chunks' squares, by one workgroup.
struct P { parts: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> squares: array<f32>;
@group(0) @binding(3) var<storage, read_write> outcome: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < p.parts; i += THREADS) {
        sum += squares[i];
    }
    let all = sum_of(local, sum);
    if local == 0u {
        outcome[1] = sqrt(all);
    }
}
