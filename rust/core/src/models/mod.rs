//! Models: layers with a purpose.

mod language_model;
mod saved;

pub use language_model::LanguageModel;
pub use saved::SavedLanguageModel;
