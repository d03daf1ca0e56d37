//! Models: layers with a purpose.

mod language_model;

pub use language_model::LanguageModel;
