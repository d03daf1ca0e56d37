//! A cell by name, with its form and options.

use super::{
    Activation, Coupled, GruAfter, GruBefore, GruNone, Layout, Lstm, MinGru, MinLstm, Nonlinear, Peephole,
    Rnn, Tanh, Visit, gru, lstm, minimal, rnn,
};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where the reset gate of a GRU sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// After the recurrent product: PyTorch, cuDNN, the Keras default.
    After,
    /// Before the recurrent product: Ng's full GRU, Cho et al. 2014.
    Before,
    /// No reset gate: Ng's simple GRU.
    None,
}

/// Which equations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Elman's network.
    Rnn,
    /// Gated recurrent unit.
    Gru(Reset),
    /// Long short-term memory.
    Lstm {
        /// Which memory the gates see.
        peephole: Peephole,
        /// f = 1 − i.
        coupled: bool,
        /// The memory is cut to ± this.
        clip: Option<f64>,
        /// The function of the memory in h.
        output: Activation,
    },
    /// Minimal GRU.
    MinGru,
    /// Minimal LSTM.
    MinLstm,
}

/// A recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Options", into = "Options")]
pub struct Cell {
    /// Its equations.
    pub kind: Kind,
    /// The function of the candidate; for the plain network, g.
    pub activation: Activation,
}

/// A cell as a file or a binding writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Options {
    cell: String,
    #[serde(default)]
    form: String,
    #[serde(default)]
    activation: Option<String>,
    #[serde(default)]
    output_activation: Option<String>,
    #[serde(default)]
    coupled: bool,
    #[serde(default)]
    cell_clip: Option<f64>,
}

fn activation(name: &'static str, given: Option<&str>, otherwise: Activation) -> Result<Activation> {
    let Some(given) = given else { return Ok(otherwise) };
    Activation::parse(given).ok_or_else(|| {
        let known: Vec<_> = Activation::ALL.iter().map(|(name, _)| format!("{name:?}")).collect();
        Error::value(name, known.join(", "), format!("{given:?}"))
    })
}

impl TryFrom<Options> for Cell {
    type Error = Error;

    fn try_from(options: Options) -> Result<Self> {
        let Options { cell, form, activation: candidate, output_activation, coupled, cell_clip } = options;
        let mut made = Self::parse(&cell, &form)?;
        if candidate.is_some() && made.kind == Kind::Rnn {
            return Err(Error::value("activation", "none: a plain cell has its nonlinearity", "some"));
        }
        made.activation = activation("activation", candidate.as_deref(), made.activation)?;
        if let Kind::Lstm { peephole, output, .. } = made.kind {
            if let Some(clip) = cell_clip.filter(|clip| !(*clip > 0.0 && clip.is_finite())) {
                return Err(Error::value("cell_clip", "a finite number above 0", clip));
            }
            let output = activation("output_activation", output_activation.as_deref(), output)?;
            made.kind = Kind::Lstm { peephole, coupled, clip: cell_clip, output };
        } else if coupled || cell_clip.is_some() || output_activation.is_some() {
            let expected = "none of coupled, cell_clip and output_activation, which an LSTM has";
            return Err(Error::value("cell", expected, format!("{cell:?} with one of them")));
        }
        Ok(made)
    }
}

impl From<Cell> for Options {
    fn from(Cell { kind, activation }: Cell) -> Self {
        let named = |of: Activation| {
            Activation::ALL.into_iter().find_map(|(name, a)| (a == of).then(|| name.to_owned()))
        };
        let other = |of: Activation, usual: Activation| if of == usual { None } else { named(of) };
        let (cell, form, usual) = match kind {
            Kind::Rnn => ("rnn", named(activation).unwrap_or_default(), activation),
            Kind::Gru(reset) => ("gru", format!("{reset:?}").to_lowercase(), Activation::Tanh),
            Kind::Lstm { peephole, .. } => ("lstm", format!("{peephole:?}").to_lowercase(), Activation::Tanh),
            Kind::MinGru => ("mingru", String::new(), Activation::Identity),
            Kind::MinLstm => ("minlstm", String::new(), Activation::Identity),
        };
        let (output_activation, coupled, cell_clip) = match kind {
            Kind::Lstm { output, coupled, clip, .. } => (other(output, Activation::Tanh), coupled, clip),
            _ => (None, false, None),
        };
        let activation = other(activation, usual);
        Self { cell: cell.to_owned(), form, activation, output_activation, coupled, cell_clip }
    }
}

impl Cell {
    /// The cell by its name ("rnn", "gru", "lstm", "mingru", "minlstm") and form, without options.
    ///
    /// # Errors
    /// For an unknown name or form.
    pub fn parse(cell: &str, form: &str) -> Result<Self> {
        let wrong = |name, expected: &str| Error::value(name, expected, format!("{form:?}"));
        let lstm = |peephole| Kind::Lstm { peephole, coupled: false, clip: None, output: Activation::Tanh };
        let kind = match cell {
            "rnn" => {
                return Ok(Self {
                    kind: Kind::Rnn,
                    activation: activation("nonlinearity", Some(form), Activation::Tanh)?,
                });
            }
            "gru" => Kind::Gru(match form {
                "after" => Reset::After,
                "before" => Reset::Before,
                "none" => Reset::None,
                _ => return Err(wrong("reset", "\"after\", \"before\" or \"none\"")),
            }),
            "lstm" => lstm(match form {
                "none" => Peephole::None,
                "full" => Peephole::Full,
                "prev" => Peephole::Prev,
                "current" => Peephole::Current,
                _ => return Err(wrong("peephole", "\"none\", \"full\", \"prev\" or \"current\"")),
            }),
            "mingru" | "minlstm" if !form.is_empty() => return Err(wrong("form", "\"\": there is one only")),
            "mingru" => Kind::MinGru,
            "minlstm" => Kind::MinLstm,
            _ => {
                let known = "\"rnn\", \"gru\", \"lstm\", \"mingru\" or \"minlstm\"";
                return Err(Error::value("cell", known, format!("{cell:?}")));
            }
        };
        let minimal = matches!(kind, Kind::MinGru | Kind::MinLstm);
        Ok(Self { kind, activation: if minimal { Activation::Identity } else { Activation::Tanh } })
    }

    /// How the cell's slots are fed.
    pub fn layout(self) -> Layout {
        match self.kind {
            Kind::Rnn => rnn::LAYOUT,
            Kind::Gru(Reset::After) => gru::AFTER,
            Kind::Gru(Reset::Before) => gru::BEFORE,
            Kind::Gru(Reset::None) => gru::NONE,
            Kind::Lstm { peephole, coupled, .. } => lstm::layout(peephole, coupled),
            Kind::MinGru => minimal::GRU,
            Kind::MinLstm => minimal::LSTM,
        }
    }

    /// Whether the cell has a memory `c` beside `h`.
    pub fn has_memory(self) -> bool {
        matches!(self.kind, Kind::Lstm { .. })
    }

    /// Runs `visitor` on the concrete cell. Where every function is tanh that is known when the
    /// kernels are compiled.
    pub fn visit<F: Visit>(self, visitor: F) -> F::Out {
        match (self.activation, self.kind) {
            (Activation::Tanh, Kind::Lstm { output: Activation::Tanh, .. }) => {
                self.visit_with(visitor, Tanh, Tanh)
            }
            (any, Kind::Lstm { output, .. }) => self.visit_with(visitor, any, output),
            (Activation::Tanh, _) => self.visit_with(visitor, Tanh, Tanh),
            (any, _) => self.visit_with(visitor, any, any),
        }
    }

    fn visit_with<F: Visit, A: Nonlinear>(self, visitor: F, candidate: A, output: A) -> F::Out {
        match self.kind {
            Kind::Rnn => visitor.visit(Rnn(candidate)),
            Kind::Gru(Reset::After) => visitor.visit(GruAfter(candidate)),
            Kind::Gru(Reset::Before) => visitor.visit(GruBefore(candidate)),
            Kind::Gru(Reset::None) => visitor.visit(GruNone(candidate)),
            Kind::Lstm { peephole, coupled, clip, .. } => {
                let lstm = Lstm { peephole, clip, candidate, output };
                if coupled { visitor.visit(Coupled(lstm)) } else { visitor.visit(lstm) }
            }
            Kind::MinGru => visitor.visit(MinGru(candidate)),
            Kind::MinLstm => visitor.visit(MinLstm(candidate)),
        }
    }
}
