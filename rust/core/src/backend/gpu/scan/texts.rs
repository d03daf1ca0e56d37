//! What the texts of a layer's kernels have in common: its cell's slots, its options, a template's parts.
//!
//! A slot of a cell is a block of columns of `z`: the blocks are the gates of `weight_ih` in their order,
//! then those slots that only recurrent products feed.

use super::super::symbol::Symbol;
use super::team::Team;
use crate::cells::{Layout, Product, State, Unit};
use std::fmt::Write;

/// What a layer's kernels have beside the cell's own equations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    /// Whether there are biases of the recurrent products.
    pub bias: bool,
    /// In a run that learns: a mask of h as the products see it, and of the candidate.
    pub masks_state: bool,
    pub masks_candidate: bool,
    /// Zoneout of h and of c.
    pub zoneout: [bool; 2],
    /// Whether it draws which units keep their old state, or takes the mean.
    pub draws: bool,
    /// Whether there are two directions.
    pub both: bool,
    /// Whether gradients of peepholes are wanted, and the memory as the cell made it for them.
    pub keeps_memory: bool,
    /// Whether h before its projection is kept of every step.
    pub keeps_emitted: bool,
}

/// Which half of a step a kernel is, where the cell has a product that waits for its reset gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// All of it.
    Whole,
    /// Up to r ⊙ h on the way forward; behind it on the way back.
    First,
    /// The other.
    Second,
}

/// The block of columns of each slot.
pub(super) fn columns(layout: &Layout) -> Vec<usize> {
    let extra = |slot: usize| layout.gates + slot - layout.input.len();
    (0..layout.slots).map(|slot| layout.input.get(slot).copied().unwrap_or_else(|| extra(slot))).collect()
}

/// Runs of neighbouring blocks of a product: (first gate, first column, how many).
pub(super) fn runs(layout: &Layout, product: &Product) -> Vec<[usize; 3]> {
    let columns = columns(layout);
    let mut pairs: Vec<_> =
        (product.slot..).zip(product.gates).map(|(slot, &gate)| [gate, columns[slot]]).collect();
    pairs.sort_unstable();
    let mut runs: Vec<[usize; 3]> = Vec::new();
    for [gate, column] in pairs {
        match runs.last_mut() {
            Some([g, c, n]) if *g + *n == gate && *c + *n == column => *n += 1,
            _ => runs.push([gate, column, 1]),
        }
    }
    runs
}

/// The buffers of a kernel's text, in the order of their bindings.
#[derive(Default)]
struct Bindings(String, usize);

impl Bindings {
    fn add(&mut self, name: &str, ty: &str, written: bool) {
        let access = if written { "read_write" } else { "read" };
        let binding = self.1 + 2;
        let _ = writeln!(self.0, "@group(0) @binding({binding}) var<storage, {access}> {name}: array<{ty}>;");
        self.1 += 1;
    }
}

/// A kernel's text and the names of the buffers it binds.
pub(super) struct Text {
    pub body: String,
    pub buffers: Vec<&'static str>,
}

/// The parts that a template is filled with.
pub(super) struct Parts<'a> {
    pub team: Team,
    pub buffers: &'a [(&'static str, bool)],
    pub sums: usize,
    /// Numbers of each unit and row that the threads of a workgroup tell each other from step to step.
    pub told: usize,
    pub start: String,
    pub products: String,
    pub cell: String,
}

impl Parts<'_> {
    pub fn fill(self, template: &str) -> Text {
        let Self { team, buffers, sums, told, start, products, cell } = self;
        let mut bindings = Bindings::default();
        for (name, written) in buffers {
            bindings.add(name, if *name == "lengths" { "u32" } else { "f32" }, *written);
        }
        let mut memory = String::new();
        if sums > 0 {
            let len = team.units * team.slices * team.rows * sums;
            let _ = write!(memory, "const SUMS = {sums}u;\nvar<workgroup> sums: array<f32, {len}>;");
        }
        if told > 0 {
            let len = team.units * team.rows * told;
            let _ = write!(memory, "\nvar<workgroup> told: array<f32, {len}>;");
        }
        let body = template
            .replace("/*bindings*/", &bindings.0)
            .replace("/*team*/", &team.text())
            .replace("/*sums*/", &memory)
            .replace("/*start*/", &start)
            .replace("/*products*/", &products)
            .replace("/*end*/", if told > 0 { "        workgroupBarrier();" } else { "" })
            .replace("/*cell*/", &cell);
        Text { body, buffers: buffers.iter().map(|(name, _)| *name).collect() }
    }
}

/// What a unit knows beside its slots and state, as statements that name `candidate` and `peephole0`, ….
pub(super) fn unit_text(layout: &Layout, features: Features) -> String {
    let mut s = String::new();
    if features.masks_candidate {
        s.push_str("    let candidate = select(0.0, p.candidate_scale, kept(p.candidate_site + site_step, u, row, time, p.candidate_limit));\n");
    }
    for k in 0..layout.peepholes.len() {
        let _ = writeln!(s, "    let peephole{k} = values[p.peephole[direction] + {k}u * p.hidden + u];");
    }
    s
}

pub(super) fn unit(layout: &Layout, features: Features) -> Unit<Symbol> {
    let peephole = |k: usize| {
        if k < layout.peepholes.len() { Symbol::named(format!("peephole{k}")) } else { Symbol::Zero }
    };
    Unit {
        peephole: [peephole(0), peephole(1), peephole(2)],
        candidate: if features.masks_candidate { Symbol::named("candidate") } else { Symbol::One },
    }
}

/// The share of the new state, as statements that name `name`.
pub(super) fn share(name: &str, part: &str, draws: bool) -> String {
    if draws {
        format!(
            "    let {name} = select(0.0, 1.0, kept(p.{part}_site + site_step, u, row, time, p.{part}_limit));\n"
        )
    } else {
        format!("    let {name} = p.{part}_share;\n")
    }
}

pub(super) fn before(memory: bool) -> State<Symbol> {
    State { h: Symbol::named("h_before"), c: if memory { Symbol::named("c_before") } else { Symbol::Zero } }
}
