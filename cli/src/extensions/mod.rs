//! Extensions that outlive the command: in the running kernel, or in a running host.

pub mod boot;
pub mod dependencies;
pub mod host;
pub mod kernel;
mod pins;
pub mod show;

use std::fmt::Display;
use std::process::ExitCode;

use probity_host::status;

use crate::output;

/// A refusal with the exit status that tells it from others.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    pub why: String,
    pub status: u8,
}

impl Refused {
    pub fn error(why: impl Display, status: u8) -> anyhow::Error {
        let why = why.to_string();
        Refused { why, status }.into()
    }
}

/// The exit status of what went wrong, which is told.
pub fn ended(done: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let Err(error) = done else { return done };
    let status = error.chain().find_map(|e| {
        if let Some(refused) = e.downcast_ref::<Refused>() {
            return Some(refused.status);
        }
        let io = e.downcast_ref::<std::io::Error>()?;
        (io.kind() == std::io::ErrorKind::PermissionDenied).then_some(status::NOT_PERMITTED)
    });
    match status {
        Some(status) => {
            output::error(&error);
            Ok(ExitCode::from(status))
        }
        None => Err(error),
    }
}
