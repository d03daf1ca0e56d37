//! The equations of a composed step's parts as statements: the cell's, traced, and what they read and write.

use super::super::team::Team;
use super::super::texts::{Features, Parts, Text, before, columns, unit, unit_text};
use crate::backend::gpu::symbol::{Symbol, traced};
use crate::cells::{Layout, State, Step, Visit};
use crate::program::Recurrence;
use std::fmt::Write;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Up to r ⊙ h, where a product waits for it.
    Reset,
    /// The cell's step, or what is left of it.
    Step,
    /// Where the memory is normalised: up to that,
    Memory,
    /// and from there to h.
    Emit,
    /// Zoneout of h, rows that are over, h as the next step sees it.
    End,
}

/// The text of a kernel in the making: what it binds, each with whether it is written, and its statements.
#[derive(Default)]
pub(super) struct Body {
    buffers: Vec<(&'static str, bool)>,
    pub statements: String,
}

impl Body {
    pub fn reads(&mut self, name: &'static str) {
        self.binds(name, false);
    }

    pub fn writes(&mut self, name: &'static str) {
        self.binds(name, true);
    }

    fn binds(&mut self, name: &'static str, written: bool) {
        match self.buffers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known |= written,
            None => self.buffers.push((name, written)),
        }
    }

    pub fn add(&mut self, statement: impl AsRef<str>) {
        let _ = writeln!(self.statements, "    {}", statement.as_ref());
    }

    /// `z0`, `z1`, …
    pub fn load(&mut self, layout: &Layout) {
        self.reads("z");
        self.add(format!("let start = at * {}u * p.hidden + u;", layout.slots));
        for (slot, column) in columns(layout).iter().enumerate() {
            self.add(format!("let z{slot} = z[start + {column}u * p.hidden];"));
        }
    }

    pub fn store(&mut self, layout: &Layout, names: &[String]) {
        self.writes("z");
        for (column, name) in columns(layout).iter().zip(names) {
            self.add(format!("z[start + {column}u * p.hidden] = {name};"));
        }
    }

    /// `h_before`, `c_before` and what else the cell knows of a unit.
    pub fn unit(&mut self, layout: &Layout, features: Features, known: Known) {
        if known.h {
            self.reads("h");
            self.add("let h_before = h[state_at * p.width + u];");
        }
        if known.c {
            self.reads("c");
            self.add("let c_before = c[state_at * p.hidden + u];");
        }
        if !layout.peepholes.is_empty() {
            self.reads("values");
        }
        self.statements.push_str(&unit_text(layout, features));
    }

    pub fn text(self, scan: &Recurrence) -> Text {
        let mut buffers = vec![("lengths", false)];
        buffers.extend(self.buffers);
        let [start, products] = [(); 2].map(|()| String::new());
        let team = Team::of(scan);
        let parts =
            Parts { team, buffers: &buffers, sums: 0, told: 0, start, products, cell: self.statements };
        parts.fill(include_str!("../../wgsl/composed.wgsl"))
    }
}

/// Which parts of the state before a step the cell's equations may name.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub h: bool,
    pub c: bool,
}

impl Known {
    pub fn of(scan: &Recurrence) -> Self {
        Self { h: scan.weights.hr.is_none(), c: scan.cell.has_memory() }
    }

    fn state(self) -> State<Symbol> {
        let State { h, c } = before(self.c);
        State { h: if self.h { h } else { Symbol::Zero }, c }
    }
}

/// The equations of a part, traced.
struct Trace {
    layout: Layout,
    features: Features,
    part: Part,
    known: Known,
    back: bool,
}

impl Visit for Trace {
    type Out = (String, Vec<String>);

    /// The names of the slots, and behind them those of what the equations return.
    fn visit<const S: usize, C: Step<S>>(self, cell: C) -> Self::Out {
        let Self { part, known, back, .. } = self;
        traced(|| {
            let mut z: [Symbol; S] = std::array::from_fn(|slot| Symbol::named(format!("z{slot}")));
            let (unit, prev) = (unit(&self.layout, self.features), known.state());
            let named = |name: &str| Symbol::named(name);
            let d = || State { h: named("dh"), c: if known.c { named("dc") } else { Symbol::Zero } };
            let state = |State { h, c }: State<Symbol>| vec![h, c];
            let out = match (part, back) {
                (Part::Reset, false) => vec![cell.reset(&mut z, named("seen_before"))],
                (Part::Step | Part::End, false) => state(cell.step(&mut z, prev, &unit)),
                (Part::Memory, false) => vec![Symbol::Zero, cell.memory(&mut z, prev, &unit)],
                (Part::Emit, false) => vec![cell.emit(&z, named("normed"))],
                (Part::Reset, true) => vec![cell.reset_backward(&mut z, named("seen_before"), named("d"))],
                (Part::Step | Part::End, true) => state(cell.step_backward(&mut z, prev, d(), &unit)),
                (Part::Memory, true) => state(cell.memory_backward(&mut z, prev, named("dc"), &unit)),
                (Part::Emit, true) => vec![cell.emit_backward(&mut z, named("normed"), named("dh"))],
            };
            z.into_iter().chain(out).collect()
        })
    }
}

/// The statements of a part, and the names of its slots and of what it returns.
pub(super) fn trace(scan: &Recurrence, features: Features, part: Part, back: bool) -> (String, Vec<String>) {
    let layout = scan.cell.layout();
    scan.cell.visit(Trace { layout, features, part, known: Known::of(scan), back })
}
