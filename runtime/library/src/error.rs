//! What went wrong, for a person.

use std::fmt;

/// One sentence, what to know besides, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub what: String,
    pub note: Option<String>,
    pub write: Option<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), note: None, write: None }
    }

    #[must_use]
    pub(crate) fn note(mut self, text: impl Into<String>) -> Self {
        self.note = Some(text.into());
        self
    }

    #[must_use]
    pub(crate) fn write(mut self, text: impl Into<String>) -> Self {
        self.write = Some(text.into());
        self
    }

    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.note.iter().try_for_each(|text| write!(f, "\n  = note: {text}"))?;
        self.write.iter().try_for_each(|text| write!(f, "\n  = write: {text}"))
    }
}

impl std::error::Error for Error {}
