//! What can be wrong with a policy, or another file that people write, told so that it can be put right without opening the
//! documentation.

use std::fmt;
use std::path::PathBuf;

/// Something wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// What is wrong and, where it can be guessed, what was meant.
    pub message: String,
}

/// Everything wrong in a file; displayed as `FILE:LINE: MESSAGE`, one line for each mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", Located(file_name, mistakes))]
pub struct Mistakes {
    /// As it was given.
    pub file_name: String,
    /// By line; at least one.
    pub mistakes: Vec<Mistake>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the policy {}", path.display())]
    Unreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read but is wrong; displayed as `FILE:LINE: MESSAGE`, one line for each mistake.
    #[error("{}", Located(file_name, mistakes))]
    Invalid {
        /// As it was given.
        file_name: String,
        /// All of them, by line; at least one.
        mistakes: Vec<Mistake>,
    },
}

struct Located<'a>(&'a str, &'a [Mistake]);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.1.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{}: {}", self.0, mistake.line, mistake.message)?;
        }
        Ok(())
    }
}
