// Before the text of a kernel whose workgroups make one number of many.
var<workgroup> folded: array<f32, THREADS>;

// The sum of all threads' numbers, to each of them.
fn sum_of(local: u32, x: f32) -> f32 {
    folded[local] = x;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            folded[local] += folded[local + half];
        }
    }
    workgroupBarrier();
    let y = folded[0];
    workgroupBarrier();
    return y;
}

// The largest of them.
fn largest_of(local: u32, x: f32) -> f32 {
    folded[local] = x;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            folded[local] = max(folded[local], folded[local + half]);
        }
    }
    workgroupBarrier();
    let y = folded[0];
    workgroupBarrier();
    return y;
}
