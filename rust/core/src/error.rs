//! Every way a call into the core can fail, as one enum.
//!
//! Messages are lower case and name the argument, what was expected and what came, so that a
//! binding can pass them on unchanged.

use std::{fmt, io, path::PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, by kind: a binding maps each kind to one exception class.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument has a value outside its range.
    Value {
        /// The argument, as the caller wrote it.
        name: &'static str,
        /// What would have been accepted.
        expected: String,
        /// What came.
        got: String,
    },
    /// An array has the wrong shape.
    Shape {
        /// The array argument.
        name: String,
        /// The accepted shape, in words or numbers.
        expected: String,
        /// The shape that came.
        got: Vec<usize>,
    },
    /// A name that does not exist: a parameter, a tensor in a file, an option.
    Unknown {
        /// What kind of name it is.
        kind: &'static str,
        /// The name that was not found.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An operation this device does not have.
    Unsupported(String),
    /// The graphics processor could not be had, or did not do what it was asked.
    Gpu(GpuTrouble, String),
    /// A tape was used a second time, or with another network than the one that made it.
    Tape(&'static str),
    /// A number that should be finite is not.
    NotFinite {
        /// Where it was found.
        name: String,
    },
    /// A file is not a model file, or is cut short or damaged.
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused a file operation.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
}

/// What is wrong with a graphics processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuTrouble {
    /// There is none, or none that may be used.
    Unavailable,
    /// It has not the memory that was asked for.
    Memory,
    /// It stopped answering, or the process has been forked since it was opened.
    Lost,
    /// It refused what this crate told it to do.
    Internal,
}

impl Error {
    /// An [`Error::Value`] from anything that prints.
    pub fn value(name: &'static str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::Value { name, expected: expected.to_string(), got: got.to_string() }
    }

    /// An [`Error::Shape`] from anything that prints.
    pub fn shape(name: impl Into<String>, expected: impl fmt::Display, got: &[usize]) -> Self {
        Self::Shape { name: name.into(), expected: expected.to_string(), got: got.to_vec() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { name, expected, got } => write!(f, "{name}: expected {expected}, got {got}"),
            Self::Shape { name, expected, got } => {
                write!(f, "{name}: expected shape {expected}, got {}", tuple(got))
            }
            Self::Unknown { kind, name, known } => write!(f, "unknown {kind} {name:?}; known: {known}"),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Gpu(_, message) => write!(f, "gpu: {message}"),
            Self::Tape(why) => write!(f, "tape: {why}"),
            Self::NotFinite { name } => write!(f, "{name}: expected finite numbers, got NaN or infinity"),
            Self::Format { path, reason } => {
                write!(f, "{}: not a usable model file: {reason}", path.display())
            }
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A shape as Python writes it: `(2, 3)`, `(4,)`.
pub fn tuple(shape: &[usize]) -> String {
    let inner = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 { format!("({inner},)") } else { format!("({inner})") }
}
