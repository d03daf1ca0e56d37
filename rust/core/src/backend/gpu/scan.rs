//! One recurrent layer.

use super::recording::Recorder;
use crate::error::{Error, Result};
use crate::program::{Program, Recurrence};

pub(super) fn record(_r: &mut Recorder<'_>, _scan: &Recurrence) -> Result<()> {
    Ok(())
}

pub(super) fn check(_program: &Program, _scan: &Recurrence) -> Result<()> {
    Err(Error::Unsupported("recurrent layers".to_owned()))
}
