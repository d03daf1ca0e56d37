//! Equations as text: the cells' Rust, run once over symbols, becomes the WGSL of their kernels.
//!
//! A [`Symbol`] is a number in the sense of [`Lanes`] that is not known: adding two writes down that they are
//! to be added. So a cell's `step` and `step_backward` are the one source of its equations on every device.

use crate::cells::Lanes;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

thread_local! {
    /// What the symbols stand for, in the order they were made.
    static TRACE: RefCell<Vec<Meaning>> = const { RefCell::new(Vec::new()) };
}

enum Meaning {
    /// A name or a number: written where it is used.
    Given(String),
    /// What was computed: written once.
    Computed(String),
}

/// A number that a kernel will know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Zero,
    One,
    /// Its place in the trace.
    Known(usize),
}

impl Symbol {
    /// What the kernel calls so.
    pub fn named(name: impl Into<String>) -> Self {
        Self::push(Meaning::Given(name.into()))
    }

    fn computed(text: String) -> Self {
        Self::push(Meaning::Computed(text))
    }

    fn push(meaning: Meaning) -> Self {
        TRACE.with_borrow_mut(|trace| {
            trace.push(meaning);
            Self::Known(trace.len() - 1)
        })
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("0.0"),
            Self::One => f.write_str("1.0"),
            Self::Known(i) => TRACE.with_borrow(|trace| match &trace[*i] {
                Meaning::Given(name) => f.write_str(name),
                Meaning::Computed(_) => write!(f, "v{i}"),
            }),
        }
    }
}

/// The statements that compute what `equations` returns, and the names of that.
pub(super) fn traced(equations: impl FnOnce() -> Vec<Symbol>) -> (String, Vec<String>) {
    TRACE.with_borrow_mut(Vec::clear);
    let names = equations().iter().map(Symbol::to_string).collect();
    let text = TRACE.with_borrow(|trace| {
        let statement = |(i, meaning): (usize, &Meaning)| match meaning {
            Meaning::Given(_) => String::new(),
            Meaning::Computed(text) => format!("    let v{i} = {text};\n"),
        };
        trace.iter().enumerate().map(statement).collect()
    });
    (text, names)
}

/// A number as WGSL writes it.
pub(super) fn literal(x: f64) -> String {
    format!("f32({:?})", x as f32)
}

impl Add for Symbol {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        match (self, other) {
            (Self::Zero, x) | (x, Self::Zero) => x,
            (a, b) => Self::computed(format!("{a} + {b}")),
        }
    }
}

impl Sub for Symbol {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        match (self, other) {
            (x, Self::Zero) => x,
            (a, b) => Self::computed(format!("{a} - {b}")),
        }
    }
}

impl Mul for Symbol {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        match (self, other) {
            (Self::One, x) | (x, Self::One) => x,
            (a, b) => Self::computed(format!("{a} * {b}")),
        }
    }
}

impl Div for Symbol {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self::computed(format!("{self} / {other}"))
    }
}

impl Neg for Symbol {
    type Output = Self;
    fn neg(self) -> Self {
        Self::computed(format!("-{self}"))
    }
}

impl Lanes for Symbol {
    const ZEROS: Self = Self::Zero;
    const ONES: Self = Self::One;

    fn splat(x: f64) -> Self {
        Self::named(literal(x))
    }
    fn sigmoid(self) -> Self {
        Self::computed(format!("sigmoid({self})"))
    }
    fn tanh(self) -> Self {
        Self::computed(format!("tanh_of({self})"))
    }
    fn relu(self) -> Self {
        Self::computed(format!("relu({self})"))
    }
    fn positive(self) -> Self {
        Self::computed(format!("positive({self})"))
    }
    fn abs(self) -> Self {
        Self::computed(format!("abs({self})"))
    }
    fn clip(self, bound: f64) -> Self {
        Self::computed(format!("clip({self}, {})", literal(bound)))
    }
    fn within(self, bound: f64) -> Self {
        Self::computed(format!("within({self}, {})", literal(bound)))
    }
    fn flush(self) -> Self {
        Self::computed(format!("flush({self})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_become_statements() {
        let (text, names) = traced(|| {
            let [a, b] = ["a", "b"].map(Symbol::named);
            vec![Symbol::ONES * (a + b * Symbol::splat(0.5)).tanh(), Symbol::ZEROS]
        });
        assert_eq!(text, "    let v3 = b * f32(0.5);\n    let v4 = a + v3;\n    let v5 = tanh_of(v4);\n");
        assert_eq!(names, ["v5", "0.0"]);
    }
}
