//! The texts of a step that is one call, or of many steps that are: forward, and beside it back.

use super::super::symbol::{Symbol, traced};
use super::sums::{Loop, add_up, products, start};
use super::team::Team;
use super::texts::{Features, Half, Parts, Text, before, columns, share, unit, unit_text};
use crate::cells::{Layout, Operand, Product, Seen, State, Step, Visit};
use crate::program::Recurrence;
use std::fmt::Write;

/// Whether a product belongs to a half on the way forward; on the way back those of the step after are done
/// first, and the one that waits for the reset gate in the second half.
fn in_half(product: &Product, half: Half) -> bool {
    match half {
        Half::Whole => true,
        Half::First => product.operand != Operand::ResetH,
        Half::Second => product.operand == Operand::ResetH,
    }
}

/// A step forward.
pub(super) fn forward(scan: &Recurrence, features: Features, half: Half) -> Text {
    let layout = scan.cell.layout();
    let (columns, memory) = (columns(&layout), scan.cell.has_memory());
    let (gates, seen) = (layout.gates, if features.masks_state { "seen" } else { "h" });
    let team = Team::of(scan);
    let mut buffers = vec![("values", false), ("lengths", false), ("z", true), ("h", true), ("out", true)];
    if features.both {
        buffers.push(("out_other", true));
    }
    if memory {
        buffers.push(("c", true));
    }
    if features.masks_state {
        buffers.push(("seen", true));
    }
    if layout.resets() {
        buffers.push(("reset", true));
    }
    if features.keeps_memory {
        buffers.push(("made", true));
    }

    // The slots that a product of this half feeds, each with its sum, and the gate whose bias it has.
    let mut fed: Vec<(usize, usize, Option<usize>)> = Vec::new();
    let mut loops = Vec::new();
    for product in layout.products.iter().filter(|product| in_half(product, half)) {
        let (len, weight, all, source) = match product.operand {
            Operand::H => ("p.width", "hh_t", gates, seen),
            Operand::ResetH => ("p.width", "hh_t", gates, "reset"),
            Operand::C => ("p.hidden", "ch_t", gates - 1, "c"),
        };
        if !buffers.iter().any(|(name, _)| *name == weight) {
            buffers.push((weight, false));
        }
        let mut terms = Vec::new();
        for (slot, &gate) in (product.slot..).zip(product.gates) {
            let known = fed.iter().position(|(fed, ..)| *fed == slot);
            let bias = (product.operand != Operand::C).then_some(gate);
            let sum = known.unwrap_or(fed.len());
            if known.is_none() {
                fed.push((slot, sum, bias));
            }
            terms.push((
                sum,
                if team.persistent { "told[START + k]".to_owned() } else { format!("{source}[START + k]") },
                format!("{weight}[((direction * {len} + k) * {all}u + {gate}u) * p.hidden + u]"),
            ));
        }
        loops.push((len, source, terms));
    }
    // States have a step more than what is masked or reset of them.
    let place = |steps: &str, row: &str| format!("((direction * ({steps}) + t) * p.batch + {row})");
    let start_h = |row: &str| format!("{} * p.width", place("p.steps + 1u", row));
    let start_c = |row: &str| format!("{} * p.hidden", place("p.steps + 1u", row));
    let start_made = |row: &str| format!("{} * p.width", place("p.steps", row));
    let start_told = |row: &str| format!("{}u * UNITS", row.trim_start_matches("row"));
    let loops: Vec<_> = loops
        .into_iter()
        .map(|(len, source, terms)| {
            let start: &dyn Fn(&str) -> String = match source {
                _ if team.persistent => &start_told,
                "h" => &start_h,
                "c" => &start_c,
                _ => &start_made,
            };
            Loop { len, start, terms }
        })
        .collect();
    let products = products(team, "hidden", fed.len(), &loops);
    let tells = team.persistent && !fed.is_empty();
    let first = match seen {
        "h" => format!("h[({}) * p.width + u]", place("p.steps + 1u", "row")),
        _ => format!("seen[({}) * p.width + u]", place("p.steps", "row")),
    };
    let start = if tells { start(&[first]) } else { String::new() };

    let mut s = format!("    let start = at * {}u * p.hidden + u;\n", layout.slots);
    for (slot, column) in columns.iter().enumerate() {
        let from_input = slot < layout.input.len() || half == Half::Second;
        let first = if from_input { format!("z[start + {column}u * p.hidden]") } else { "0.0".to_owned() };
        let _ = writeln!(s, "    var z{slot} = {first};");
    }
    for (slot, sum, bias) in &fed {
        s.push_str(&add_up(&format!("z{slot}"), *sum));
        if let Some(gate) = bias.filter(|_| features.bias) {
            let _ = writeln!(s, "    z{slot} += values[p.bias[direction] + {gate}u * p.hidden + u];");
        }
    }
    s.push_str("    let h_before = h[state_at * p.width + u];\n");
    if memory {
        s.push_str("    let c_before = c[state_at * p.hidden + u];\n");
    }
    s.push_str(&unit_text(&layout, features));
    let (statements, names) = scan.cell.visit(Forward { layout, features, half, memory });
    s.push_str(&statements);
    for (slot, column) in columns.iter().enumerate() {
        let _ = writeln!(s, "    z[start + {column}u * p.hidden] = {};", names[slot]);
    }
    if half == Half::First {
        let _ = writeln!(s, "    reset[at * p.hidden + u] = {};", names[layout.slots]);
        let parts = Parts { team, buffers: &buffers, sums: fed.len(), told: 0, start, products, cell: s };
        return parts.fill(include_str!("../wgsl/step.wgsl"));
    }
    s.push_str("    let live = time < lengths[row];\n");
    let mut state = |part: &str, value: &str, width: &str, zoneout: bool| {
        let _ = writeln!(s, "    var {part}_after = {value};");
        if zoneout {
            s.push_str(&share(&format!("{part}_new"), part, features.draws));
            let _ = writeln!(
                s,
                "    {part}_after = {part}_before + {part}_new * ({part}_after - {part}_before);"
            );
        }
        let _ = writeln!(s, "    {part}_after = select({part}_before, {part}_after, live);");
        let _ = writeln!(s, "    {part}[(state_at + p.batch) * p.{width} + u] = {part}_after;");
    };
    state("h", &names[layout.slots], "width", features.zoneout[0]);
    if memory {
        state("c", &names[layout.slots + 1], "hidden", features.zoneout[1]);
    }
    if features.keeps_memory {
        let _ = writeln!(s, "    made[at * p.hidden + u] = {};", names[layout.slots + 1]);
    }
    s.push_str(
        "    let y = select(0.0, h_after, live);\n    let slot_at = (t * p.batch + row) * p.width + u;\n",
    );
    s.push_str(if features.both {
        "    if direction == 0u {\n        out[slot_at] = y;\n    } else {\n        out_other[slot_at] = y;\n    }\n"
    } else {
        "    out[slot_at] = y;\n"
    });
    let mut told = "h_after";
    if features.masks_state {
        s.push_str("    let h_seen = select(0.0, h_after * p.seen_scale, kept(p.seen_site + site_step, u, row, 0u, p.seen_limit));\n");
        s.push_str(
            "    if t + 1u < p.steps {\n        seen[(at + p.batch) * p.width + u] = h_seen;\n    }\n",
        );
        told = "h_seen";
    }
    if tells {
        let _ = writeln!(s, "    told[row_here * UNITS + unit] = {told};");
    }
    let parts =
        Parts { team, buffers: &buffers, sums: fed.len(), told: tells.into(), start, products, cell: s };
    parts.fill(include_str!("../wgsl/step.wgsl"))
}

struct Forward {
    layout: Layout,
    features: Features,
    half: Half,
    memory: bool,
}

impl Visit for Forward {
    type Out = (String, Vec<String>);
    fn visit<const S: usize, C: Step<S>>(self, cell: C) -> Self::Out {
        traced(|| {
            let mut z: [Symbol; S] = std::array::from_fn(|slot| Symbol::named(format!("z{slot}")));
            if self.half == Half::First {
                let seen = if self.features.masks_state { "seen[at" } else { "h[state_at" };
                let reset = cell.reset(&mut z, Symbol::named(format!("{seen} * p.width + u]")));
                return z.into_iter().chain([reset]).collect();
            }
            let next = cell.step(&mut z, before(self.memory), &unit(&self.layout, self.features));
            z.into_iter().chain([next.h, next.c]).collect()
        })
    }
}

/// A step backward: its first half has the products of the step after and the cell, the second what came
/// through r ⊙ h.
pub(super) fn backward(scan: &Recurrence, features: Features, half: Half) -> Text {
    let layout = scan.cell.layout();
    let (columns, memory, team) = (columns(&layout), scan.cell.has_memory(), Team::of(scan));
    let mut buffers =
        vec![("values", false), ("lengths", false), ("z", true), ("h", false), ("d_state", true)];
    if half != Half::Second {
        buffers.push(("dy", false));
        if features.both {
            buffers.push(("dy_other", false));
        }
    }
    if memory {
        buffers.push(("c", false));
    }
    if features.masks_state && half == Half::Second {
        buffers.push(("seen", false));
    }
    if !layout.peepholes.is_empty() {
        buffers.push(("d_peephole", true));
    }
    if features.keeps_memory {
        buffers.push(("made", false));
    }
    // Sum 0 is what reaches h, sum 1 what reaches c.
    let z_start = |row: &str| {
        if team.persistent {
            return format!("{}u * {}u * UNITS", row.trim_start_matches("row"), layout.slots);
        }
        let t = if half == Half::Second { "t" } else { "p.next" };
        format!("((direction * p.steps + {t}) * p.batch + {row}) * {}u * p.hidden", layout.slots)
    };
    let (mut terms, mut sums) = (Vec::new(), 0);
    for product in layout.products.iter().filter(|product| in_half(product, half)) {
        let (sum, weight, at, width) = match product.operand {
            Operand::H | Operand::ResetH => (0, "hh", "p.hh[direction]", "p.width"),
            Operand::C => (1, "ch", "p.ch[direction]", "p.hidden"),
        };
        sums = sums.max(sum + 1);
        if !buffers.iter().any(|(name, _)| *name == weight) {
            buffers.push((weight, false));
        }
        for (slot, gate) in (product.slot..).zip(product.gates) {
            terms.push((
                sum,
                if team.persistent {
                    format!("told[START + {}u * UNITS + k]", columns[slot])
                } else {
                    format!("z[START + {}u * p.hidden + k]", columns[slot])
                },
                format!("{weight}[{at} + ({gate}u * p.hidden + k) * {width} + u]"),
            ));
        }
    }
    // No step after the last: the products' slices are empty then.
    let always = half == Half::Second || team.persistent;
    let len = if always { "p.hidden" } else { "select(p.hidden, 0u, p.next == NONE)" };
    let products = products(team, "width", sums, &[Loop { len, start: &z_start, terms }]);
    let tells = team.persistent && sums > 0;
    let next = |column: usize| {
        let at = "(direction * p.steps + min(p.next, p.steps - 1u)) * p.batch + row";
        let z = format!("z[({at}) * {}u * p.hidden + {column}u * p.hidden + u]", layout.slots);
        format!("select({z}, 0.0, p.next == NONE)")
    };
    let start = if tells { start(&(0..layout.slots).map(next).collect::<Vec<_>>()) } else { String::new() };
    let told = if tells { layout.slots } else { 0 };

    let mut s = String::from("    let h_at = p.d_h[direction] + row * p.width + u;\n");
    s.push_str("    let c_at = p.d_c[direction] + row * p.hidden + u;\n");
    for sum in 0..sums {
        let _ = writeln!(s, "    var sum{sum} = 0.0;");
        s.push_str(&add_up(&format!("sum{sum}"), sum));
    }
    let mask = |s: &mut String, what: &str| {
        if features.masks_state {
            let _ = writeln!(
                s,
                "    {what} = select(0.0, {what} * p.seen_scale, kept(p.seen_site + site_step, u, row, 0u, p.seen_limit));"
            );
        }
    };
    let load = |s: &mut String| {
        let _ = writeln!(s, "    let at = (direction * p.steps + t) * p.batch + row;");
        let _ = writeln!(s, "    let state_at = at + direction * p.batch;");
        let _ = writeln!(s, "    let start = at * {}u * p.hidden + u;", layout.slots);
        for (slot, column) in columns.iter().enumerate() {
            let _ = writeln!(s, "    let z{slot} = z[start + {column}u * p.hidden];");
        }
    };
    let store = |s: &mut String, names: &[String]| {
        for (slot, column) in columns.iter().enumerate() {
            let _ = writeln!(s, "    z[start + {column}u * p.hidden] = {};", names[slot]);
            if tells {
                let slots = layout.slots;
                let _ = writeln!(
                    s,
                    "    told[(row_here * {slots}u + {column}u) * UNITS + unit] = {};",
                    names[slot]
                );
            }
        }
    };
    if half == Half::Second {
        s.push_str("    if time >= lengths[row] {\n        return;\n    }\n");
        load(&mut s);
        let (statements, names) = scan.cell.visit(Backward { layout, features, half, memory });
        s.push_str(&statements);
        store(&mut s, &names);
        let _ = writeln!(s, "    var through = {};", names[layout.slots]);
        mask(&mut s, "through");
        s.push_str("    d_state[h_at] += through;\n");
        let parts = Parts { team, buffers: &buffers, sums, told, start, products, cell: s };
        return parts.fill(include_str!("../wgsl/step_backward.wgsl"));
    }
    s.push_str("    var dh = d_state[h_at];\n");
    if sums > 0 {
        mask(&mut s, "sum0");
        s.push_str("    dh += sum0;\n");
    }
    if memory {
        s.push_str("    var dc = d_state[c_at];\n");
        if sums > 1 {
            s.push_str("    dc += sum1;\n");
        }
    }
    s.push_str("    d_state[h_at] = dh;\n");
    if memory {
        s.push_str("    d_state[c_at] = dc;\n");
    }
    s.push_str("    if t == NONE {\n        return;\n    }\n");
    load(&mut s);
    s.push_str("    if time >= lengths[row] {\n");
    store(&mut s, &vec!["0.0".to_owned(); layout.slots]);
    s.push_str("        return;\n    }\n    let slot_at = (t * p.batch + row) * p.width + u;\n");
    s.push_str(if features.both {
        "    if direction == 0u {\n        dh += dy[slot_at];\n    } else {\n        dh += dy_other[slot_at];\n    }\n"
    } else {
        "    dh += dy[slot_at];\n"
    });
    s.push_str("    var h_kept = 0.0;\n    var c_kept = 0.0;\n");
    for (part, zoneout) in ["h", "c"].iter().zip(features.zoneout) {
        if zoneout {
            s.push_str(&share(&format!("{part}_new"), part, features.draws));
            let _ = writeln!(s, "    {part}_kept = (1.0 - {part}_new) * d{part};");
            let _ = writeln!(s, "    d{part} *= {part}_new;");
        }
    }
    s.push_str("    let h_before = h[state_at * p.width + u];\n");
    if memory {
        s.push_str("    let c_before = c[state_at * p.hidden + u];\n");
    }
    s.push_str(&unit_text(&layout, features));
    let (statements, names) = scan.cell.visit(Backward { layout, features, half, memory });
    s.push_str(&statements);
    store(&mut s, &names);
    let _ = writeln!(s, "    d_state[h_at] = h_kept + {};", names[layout.slots]);
    if memory {
        let _ = writeln!(s, "    d_state[c_at] = c_kept + {};", names[layout.slots + 1]);
    }
    for (k, sight) in layout.peepholes.iter().enumerate() {
        let seen = match sight.seen {
            Seen::Before => "c_before",
            Seen::After if features.keeps_memory => "made[at * p.hidden + u]",
            Seen::After => "c[(state_at + p.batch) * p.hidden + u]",
        };
        let _ = writeln!(
            s,
            "    d_peephole[((direction * {}u + {k}u) * p.batch + row) * p.hidden + u] += {} * {seen};",
            layout.peepholes.len(),
            names[sight.slot]
        );
    }
    let parts = Parts { team, buffers: &buffers, sums, told, start, products, cell: s };
    parts.fill(include_str!("../wgsl/step_backward.wgsl"))
}

struct Backward {
    layout: Layout,
    features: Features,
    half: Half,
    memory: bool,
}

impl Visit for Backward {
    type Out = (String, Vec<String>);
    fn visit<const S: usize, C: Step<S>>(self, cell: C) -> Self::Out {
        traced(|| {
            let mut z: [Symbol; S] = std::array::from_fn(|slot| Symbol::named(format!("z{slot}")));
            if self.half == Half::Second {
                let seen = if self.features.masks_state { "seen[at" } else { "h[state_at" };
                let seen = Symbol::named(format!("{seen} * p.width + u]"));
                let through = cell.reset_backward(&mut z, seen, Symbol::named("sum0"));
                return z.into_iter().chain([through]).collect();
            }
            let d = State {
                h: Symbol::named("dh"),
                c: if self.memory { Symbol::named("dc") } else { Symbol::Zero },
            };
            let before =
                cell.step_backward(&mut z, before(self.memory), d, &unit(&self.layout, self.features));
            z.into_iter().chain([before.h, before.c]).collect()
        })
    }
}
