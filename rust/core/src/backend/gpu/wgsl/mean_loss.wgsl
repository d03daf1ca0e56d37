// The mean of -log p over the rows that have a target, by one workgroup; 0 where none has.
struct P { rows: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(2) var<storage, read> log_probs: array<f32>;
@group(0) @binding(3) var<storage, read_write> outcome: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var row = local; row < p.rows; row += THREADS) {
        sum -= log_probs[row];
    }
    let all = sum_of(local, sum);
    if local == 0u {
        outcome[0] = all / max(f32(run.scored), 1.0);
    }
}
