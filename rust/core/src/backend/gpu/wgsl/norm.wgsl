// The root of the sum of all chunks' squares, by one workgroup; and whether the update may be made: where the
// loss and the norm are finite, and those of all before it that the host has not seen.
struct P { parts: u32, place: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> squares: array<f32>;
@group(0) @binding(3) var<storage, read_write> outcome: array<f32>;
// 1 after an update that could not be made; from 2 on the loss and the norm of each: `Unread` in unread.rs.
@group(0) @binding(4) var<storage, read_write> told: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < p.parts; i += THREADS) {
        sum += squares[i];
    }
    let all = sum_of(local, sum);
    if local == 0u {
        let norm = sqrt(all);
        let good = told[0] == 0.0 && is_finite(outcome[0]) && is_finite(norm);
        told[0] = select(1.0, 0.0, good);
        told[p.place] = outcome[0];
        told[p.place + 1u] = norm;
        outcome[1] = norm;
        outcome[3] = select(0.0, 1.0, good);
    }
}
