//! The kernels of a composed step, number by number: the cell's equations between a step's products, and what
//! ends a step. All that a product or a normalisation gives is in `z` when the cell reads it.

use super::super::texts::{Features, Text, share};
use super::equations::{Body, Known, Part, trace};
use crate::cells::{Layout, Seen};
use crate::program::Recurrence;

/// h as the products see it.
fn seen_before(b: &mut Body, features: Features) {
    let (seen, at) = if features.masks_state { ("seen", "at") } else { ("h", "state_at") };
    b.reads(seen);
    b.add(format!("let seen_before = {seen}[{at} * p.width + u];"));
}

/// A part of a step forward.
pub(super) fn forward(scan: &Recurrence, features: Features, part: Part) -> Text {
    let (layout, known) = (scan.cell.layout(), Known::of(scan));
    let mut b = Body::default();
    if part == Part::End {
        return end(scan, features);
    }
    b.load(&layout);
    if part == Part::Reset {
        seen_before(&mut b, features);
    } else if part == Part::Emit {
        b.reads("normed_c");
        b.add("let normed = normed_c[at * p.hidden + u];");
    } else {
        b.unit(&layout, features, known);
    }
    let (statements, names) = trace(scan, features, part, false);
    b.statements.push_str(&statements);
    if part != Part::Emit {
        b.store(&layout, &names);
    }
    let out = &names[layout.slots..];
    if part == Part::Reset {
        b.writes("reset");
        b.add(format!("reset[at * p.hidden + u] = {};", out[0]));
        return b.text(scan);
    }
    if part != Part::Memory {
        let place = if features.keeps_emitted { "at" } else { "own" };
        b.writes("emitted");
        b.add(format!("emitted[{place} * p.hidden + u] = {};", out[0]));
    }
    if known.c && part != Part::Emit {
        b.writes("c");
        b.add(format!("let c_made = {};", out[1]));
        b.add("var c_after = c_made;");
        if features.zoneout[1] {
            b.statements.push_str(&share("c_new", "c", features.draws));
            b.add("c_after = c_before + c_new * (c_made - c_before);");
        }
        b.add("c[(state_at + p.batch) * p.hidden + u] = select(c_before, c_after, live);");
        for (wanted, name) in [(features.keeps_memory, "made"), (part == Part::Memory, "n_c")] {
            if wanted {
                b.writes(name);
                b.add(format!("{name}[at * p.hidden + u] = c_made;"));
            }
        }
    }
    b.text(scan)
}

fn end(scan: &Recurrence, features: Features) -> Text {
    let mut b = Body::default();
    let made = if scan.weights.hr.is_some() { "projected" } else { "emitted" };
    b.reads(made);
    b.writes("h");
    b.writes("out");
    b.add("let h_before = h[state_at * p.width + u];");
    b.add(format!("var h_after = {made}[own * p.width + u];"));
    if features.zoneout[0] {
        b.statements.push_str(&share("h_new", "h", features.draws));
        b.add("h_after = h_before + h_new * (h_after - h_before);");
    }
    b.add("h_after = select(h_before, h_after, live);");
    b.add("h[(state_at + p.batch) * p.width + u] = h_after;");
    b.add("let y = select(0.0, h_after, live);");
    if features.both {
        b.writes("out_other");
        b.add("if direction == 0u {\n        out[slot_at * p.width + u] = y;\n    } else {");
        b.add("    out_other[slot_at * p.width + u] = y;\n    }");
    } else {
        b.add("out[slot_at * p.width + u] = y;");
    }
    if features.masks_state {
        b.writes("seen");
        b.add("let stays = kept(p.seen_site + site_step, u, row, 0u, p.seen_limit);");
        b.add("if p.last == 0u {");
        b.add("    seen[(at + p.batch) * p.width + u] = select(0.0, h_after * p.seen_scale, stays);");
        b.add("}");
    }
    b.text(scan)
}

/// The same part backward.
pub(super) fn backward(scan: &Recurrence, features: Features, part: Part) -> Text {
    let (layout, known) = (scan.cell.layout(), Known::of(scan));
    let mut b = Body::default();
    if part == Part::End {
        return end_backward(scan, features);
    }
    b.load(&layout);
    if part == Part::Emit {
        b.writes("d_normed_c");
        b.add("if !live {\n        d_normed_c[at * p.hidden + u] = 0.0;\n        return;\n    }");
    } else {
        b.add("if !live {");
        b.store(&layout, &vec!["0.0".to_owned(); layout.slots]);
        if part == Part::Reset && features.masks_state {
            b.writes("d_seen");
            b.add("d_seen[own * p.width + u] = 0.0;");
        }
        b.add("return;\n    }");
    }
    match part {
        Part::Reset => {
            seen_before(&mut b, features);
            b.reads("d_reset");
            b.add("let d = d_reset[own * p.hidden + u];");
        }
        Part::Emit => {
            b.reads("normed_c");
            b.add("let normed = normed_c[at * p.hidden + u];");
        }
        _ => b.unit(&layout, features, known),
    }
    if matches!(part, Part::Step | Part::Emit) {
        b.reads("d_emitted");
        b.add("let dh = d_emitted[own * p.hidden + u];");
    }
    if known.c && matches!(part, Part::Step | Part::Memory) {
        b.writes("d_state");
        b.add("let c_at = p.d_c[direction] + row * p.hidden + u;");
        b.add("var dc = d_state[c_at];\n    var c_kept = 0.0;");
        if features.zoneout[1] {
            b.statements.push_str(&share("c_new", "c", features.draws));
            b.add("c_kept = (1.0 - c_new) * dc;\n    dc *= c_new;");
        }
        if part == Part::Memory {
            b.reads("d_made");
            b.add("dc += d_made[own * p.hidden + u];");
        }
    }
    let (statements, names) = trace(scan, features, part, true);
    b.statements.push_str(&statements);
    b.store(&layout, &names);
    let out = &names[layout.slots..];
    match part {
        Part::Reset if features.masks_state => b.add(format!("d_seen[own * p.width + u] = {};", out[0])),
        Part::Emit => b.add(format!("d_normed_c[at * p.hidden + u] = {};", out[0])),
        _ if known.h => {
            b.writes("d_state");
            b.add(format!("d_state[p.d_h[direction] + row * p.width + u] += {};", out[0]));
        }
        _ => {}
    }
    if known.c && part != Part::Emit {
        b.add(format!("d_state[c_at] = c_kept + {};", out[1]));
    }
    if part == Part::Step {
        peepholes(&mut b, &layout, features, &names);
    }
    b.text(scan)
}

fn peepholes(b: &mut Body, layout: &Layout, features: Features, names: &[String]) {
    for (k, sight) in layout.peepholes.iter().enumerate() {
        let seen = match sight.seen {
            Seen::Before => "c_before",
            Seen::After if features.keeps_memory => {
                b.reads("made");
                "made[at * p.hidden + u]"
            }
            Seen::After => "c[(state_at + p.batch) * p.hidden + u]",
        };
        b.writes("d_peephole");
        let of = layout.peepholes.len();
        let to = format!("d_peephole[((direction * {of}u + {k}u) * p.batch + row) * p.hidden + u]");
        b.add(format!("{to} += {} * {seen};", names[sight.slot]));
    }
}

fn end_backward(scan: &Recurrence, features: Features) -> Text {
    let mut b = Body::default();
    let projects = scan.weights.hr.is_some();
    // Of a projection all steps are kept: its weights' gradient is a sum over them.
    let (d_made, place) = if projects { ("d_projected", "at") } else { ("d_emitted", "own") };
    b.writes("d_state");
    b.reads("dy");
    b.writes(d_made);
    b.add("var d = 0.0;");
    if features.both {
        b.reads("dy_other");
        b.add("if direction == 0u {\n        d = dy[slot_at * p.width + u];\n    } else {");
        b.add("    d = dy_other[slot_at * p.width + u];\n    }");
    } else {
        b.add("d = dy[slot_at * p.width + u];");
    }
    b.add("let h_at = p.d_h[direction] + row * p.width + u;");
    b.add("var dh = 0.0;");
    b.add("if live {");
    b.add("    dh = d_state[h_at] + d;");
    if features.zoneout[0] {
        b.statements.push_str(&share("h_new", "h", features.draws));
        b.add("    d_state[h_at] = (1.0 - h_new) * dh;");
        b.add("    dh *= h_new;");
    } else {
        b.add("    d_state[h_at] = 0.0;");
    }
    b.add("}");
    b.add(format!("{d_made}[{place} * p.width + u] = dh;"));
    b.text(scan)
}
