// Steps of a recurrent layer backwards, of all rows: the gradient of h from the products of the step
// after it, then the cell's equations backwards. Work is shared as in step.wgsl. With t = NONE it ends with
// the products: what is left is the gradient of the state at the start.
struct P {
    t: u32, next: u32, count: u32, steps: u32, batch: u32, hidden: u32, width: u32, site_step: u32,
    // Of both directions: where their weights are, and the gradients of their states.
    hh: vec2<u32>, ch: vec2<u32>, peephole: vec2<u32>, d_h: vec2<u32>, d_c: vec2<u32>,
    candidate_site: u32, candidate_limit: u32, candidate_scale: f32,
    h_site: u32, h_limit: u32, h_share: f32,
    c_site: u32, c_limit: u32, c_share: f32,
    seen_site: u32, seen_limit: u32, seen_scale: f32,
    first: u32,
}
@group(0) @binding(0) var<uniform> p: P;
/*bindings*/

/*team*/
/*sums*/
var<private> t: u32;

@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let direction = group.z;
    let unit = local % UNITS;
    let slice = local / UNITS;
    let first_row = group.y * ROWS;
    t = p.t;
/*start*/
    for (var n = 0u; n < p.count; n++) {
        t = p.t - n;
/*products*/
        for (var i = local; i < UNITS * ROWS; i += TEAM) {
            let row = first_row + i / UNITS;
            let u = group.x * UNITS + i % UNITS;
            if row < p.batch && u < p.hidden {
                cell(direction, row, u, i / UNITS, i % UNITS);
            }
        }
/*end*/
    }
}

fn cell(direction: u32, row: u32, u: u32, row_here: u32, unit: u32) {
    let time = p.first + t;
    let site_step = direction * p.site_step;
/*cell*/
}
