// The penalties of a run += the sum of all chunks', by one workgroup.
struct P { chunks: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> parts: array<f32>;
@group(0) @binding(3) var<storage, read_write> outcome: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < p.chunks; i += THREADS) {
        sum += parts[i];
    }
    sum = sum_of(local, sum);
    if local == 0u {
        outcome[2] += sum;
    }
}
