//! Secrets of sinks: read from a file or the environment when the sinks are opened, and shown to nobody.

use std::fmt;
use std::path::Path;

use super::config::SinkConfig;

/// Largest file that is read for a secret, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text, for where it has to be used.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The secret of a sink, if it has one.
///
/// # Errors
/// A sentence: no such file or variable, or nothing in it.
pub fn of_sink(sink: &SinkConfig) -> Result<Option<Secret>, String> {
    read(sink.secret_file.as_deref(), sink.secret_env.as_deref())
}

/// The URL of a sink, wherever it stands.
///
/// # Errors
/// As for [`of_sink`], and if there is none.
pub fn url_of(sink: &SinkConfig) -> Result<Secret, String> {
    match &sink.url {
        Some(url) => Ok(Secret(url.clone())),
        None => read(sink.url_file.as_deref(), sink.url_env.as_deref())?.ok_or_else(|| "it needs `url`".to_owned()),
    }
}

fn read(file: Option<&Path>, variable: Option<&str>) -> Result<Option<Secret>, String> {
    let (text, place) = match (file, variable) {
        (Some(path), _) => {
            let place = format!("the file {}", path.display());
            let length = std::fs::metadata(path).map_err(|e| format!("{place} cannot be read: {e}"))?.len();
            if length > BYTES_MAX {
                return Err(format!("{place} has {length} bytes: that is no secret"));
            }
            (std::fs::read_to_string(path).map_err(|e| format!("{place} cannot be read: {e}"))?, place)
        }
        (None, Some(name)) => {
            let place = format!("the environment variable {name}");
            (std::env::var(name).map_err(|_| format!("{place} is not set (or is no UTF-8)"))?, place)
        }
        (None, None) => return Ok(None),
    };
    match text.trim() {
        "" => Err(format!("{place} is empty: it should hold a secret")),
        text => Ok(Some(Secret(text.to_owned()))),
    }
}
