//! Sums of products in the text of a step: a workgroup's threads share each by slices.

use super::team::Team;
use std::fmt::Write;

/// Sums of products, shared by the slices of a workgroup: `sums[slice][row][sum][unit]`. Each loop adds, of
/// each of its terms, products of one number that a row has with one weight that a unit has.
pub(super) struct Loop<'a> {
    /// Terms, as an expression.
    pub len: &'a str,
    /// Where row `r` of the operand starts.
    pub start: &'a dyn Fn(&str) -> String,
    /// For each sum: the operand of term `k` from there, and the weight.
    pub terms: Vec<(usize, String, String)>,
}

pub(super) fn products(team: Team, outputs: &str, sums: usize, loops: &[Loop<'_>]) -> String {
    if sums == 0 {
        return String::new();
    }
    let mut s = format!("    let u = min(group.x * UNITS + unit, p.{outputs} - 1u);\n");
    for row in 0..team.rows {
        let _ = writeln!(s, "    let row{row} = min(first_row + {row}u, p.batch - 1u);");
        (0..sums).for_each(|sum| {
            let _ = writeln!(s, "    var a{row}_{sum} = 0.0;");
        });
    }
    for Loop { len, start, terms } in loops {
        let _ = writeln!(s, "    {{\n    let each = ({len} + SLICES - 1u) / SLICES;");
        let _ = writeln!(s, "    let end = min((slice + 1u) * each, {len});");
        for row in 0..team.rows {
            let _ = writeln!(s, "    let start{row} = {};", start(&format!("row{row}")));
        }
        let _ = writeln!(s, "    for (var k = slice * each; k < end; k++) {{");
        for (i, (sum, operand, weight)) in terms.iter().enumerate() {
            let _ = writeln!(s, "        let w{i} = {weight};");
            for row in 0..team.rows {
                let x = operand.replace("START", &format!("start{row}"));
                let _ = writeln!(s, "        a{row}_{sum} = fma({x}, w{i}, a{row}_{sum});");
            }
        }
        s.push_str("    }\n    }\n");
    }
    for row in 0..team.rows {
        (0..sums).for_each(|sum| {
            let _ = writeln!(
                s,
                "    sums[((slice * ROWS + {row}u) * SUMS + {sum}u) * UNITS + unit] = a{row}_{sum};"
            );
        });
    }
    s.push_str("    workgroupBarrier();\n");
    s
}

/// The statements that add up sum number `sum` into `name`.
pub(super) fn add_up(name: &str, sum: usize) -> String {
    format!(
        "    for (var slice = 0u; slice < SLICES; slice++) {{\n        {name} += sums[((slice * ROWS + row_here) * SUMS + {sum}u) * UNITS + unit];\n    }}\n"
    )
}

/// What threads begin to tell each other: `value` of each unit and row.
pub(super) fn start(values: &[String]) -> String {
    let mut s = String::from("    for (var i = local; i < UNITS * ROWS; i += TEAM) {\n");
    s.push_str("        let row = min(first_row + i / UNITS, p.batch - 1u);\n        let u = min(i % UNITS, p.hidden - 1u);\n");
    for (k, value) in values.iter().enumerate() {
        let _ = writeln!(
            s,
            "        told[(i / UNITS * {}u + {k}u) * UNITS + i % UNITS] = {value};",
            values.len()
        );
    }
    s.push_str("    }\n    workgroupBarrier();\n");
    s
}
