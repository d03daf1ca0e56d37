// A part of a composed step of a recurrent layer, of all rows, number by number: a cell's equations forward or
// back, or what ends a step. The third dimension of the grid is of its directions, which have one half each of
// every buffer. Written by scan/composed.
struct P {
    t: u32, steps: u32, batch: u32, hidden: u32, width: u32, columns: u32, site_step: u32, last: u32,
    // Of both directions, as in step.wgsl and step_backward.wgsl.
    peephole: vec2<u32>, d_h: vec2<u32>, d_c: vec2<u32>,
    // Places in the model and limits of the draws: candidate dropout, zoneout of h and of c, the mask of h.
    candidate_site: u32, candidate_limit: u32, candidate_scale: f32,
    h_site: u32, h_limit: u32, h_share: f32,
    c_site: u32, c_limit: u32, c_share: f32,
    seen_site: u32, seen_limit: u32, seen_scale: f32,
    first: u32,
}
@group(0) @binding(0) var<uniform> p: P;
/*bindings*/

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let i = index(group, local);
    if i >= p.batch * p.columns {
        return;
    }
    let row = i / p.columns;
    let u = i % p.columns;
    let direction = group.z;
    let site_step = direction * p.site_step;
    let t = p.t;
    // A row's place among what there is of every step, of every state, of a slot's steps, and of one step.
    let at = (direction * p.steps + t) * p.batch + row;
    let state_at = at + direction * p.batch;
    let slot_at = t * p.batch + row;
    let own = direction * p.batch + row;
    let time = p.first + t;
    let live = time < lengths[row];
/*cell*/
}
