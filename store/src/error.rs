//! What goes wrong with files that say who is trusted, what was decided and what is there.

use std::path::Path;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{what}")]
    Io {
        what: String,
        source: std::io::Error,
    },
    /// What a file holds is not what it should.
    #[error("in {path}")]
    Content {
        path: String,
        source: probity_bundle::Error,
    },
    /// A file that is no package.
    #[error("cannot open {path} as a package")]
    Package {
        path: String,
        source: probity_bundle::Error,
    },
    /// What others could have written, what is broken, what is there already.
    #[error("{0}")]
    Refused(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// With its causes, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(e) = source {
            text += &format!(": {e}");
            source = e.source();
        }
        text
    }

    /// There is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// `WHAT PATH` before the cause.
pub(crate) fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let what = format!("{what} {}", path.display());
    move |source| Error::Io { what, source }
}

pub(crate) fn content(path: &Path) -> impl FnOnce(probity_bundle::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Content { path, source }
}
