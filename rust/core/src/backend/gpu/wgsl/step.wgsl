// Steps of a recurrent layer, of all rows: the recurrent products and the cell's equations. A workgroup has
// UNITS units of ROWS rows; its threads share the sums of a unit by SLICES. Where it has all units of its rows
// it goes on for `count` steps, and what threads tell each other goes through workgroup memory. Of two
// directions one has the first half of each buffer, the other the second. Written by scan/texts.rs.
struct P {
    // Steps are those of a segment, which begins at step `first` of the run. From a layer's own place in the
    // model to that of the other direction: `site_step`.
    t: u32, count: u32, steps: u32, batch: u32, hidden: u32, width: u32, site_step: u32, first: u32,
    // Where the weights of both directions are.
    bias: vec2<u32>, peephole: vec2<u32>,
    // Places in the model and limits of the draws: candidate dropout, zoneout of h and of c, the mask of h.
    candidate_site: u32, candidate_limit: u32, candidate_scale: f32,
    h_site: u32, h_limit: u32, h_share: f32,
    c_site: u32, c_limit: u32, c_share: f32,
    seen_site: u32, seen_limit: u32, seen_scale: f32,
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
        t = p.t + n;
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
    let at = (direction * p.steps + t) * p.batch + row;
    let state_at = at + direction * p.batch;
    let time = p.first + t;
    let site_step = direction * p.site_step;
/*cell*/
}
