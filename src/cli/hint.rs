//! What to do about an error whose own words do not say it: those of the operating system mostly.

use std::io::ErrorKind;

/// A hint, if there is one to give.
pub fn of(error: &anyhow::Error) -> Option<&'static str> {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    let words = format!("{error:#}");
    if words.contains("cannot read the configuration ") && words.contains("No such file") {
        return Some("--config FILE names another; `tokentrail config example > tokentrail.toml` begins one");
    }
    Some(match kind {
        Some(ErrorKind::PermissionDenied) => "check who owns it: ls -l shows that, id who you are",
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            "make room, or move the lake and name its new place with --lake; nothing that was committed is lost"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => {
            "the lake and the key need a place that can be written: --lake, --secret-key-file"
        }
        Some(ErrorKind::NotFound) => "check the path; a relative one counts from the folder where you are",
        Some(ErrorKind::AddrInUse) => "another process listens there: stop it, or choose another port",
        // Libraries keep the cause in words only.
        _ if words.contains("Permission denied") => "check who owns it: ls -l shows that, id who you are",
        _ if words.contains("No space left on device") => {
            "make room, or move the lake and name its new place with --lake; nothing that was committed is lost"
        }
        _ if words.contains("Too many open files") => "allow more: ulimit -n 65536, or LimitNOFILE= of the unit",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn the_cause_decides_wherever_it_stands_in_the_chain() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let chain = Err::<(), _>(denied).context("reading the key").context("ingesting").unwrap_err();
        assert!(super::of(&chain).is_some_and(|hint| hint.contains("owns")));
        assert_eq!(super::of(&anyhow::anyhow!("no detector named x")), None);
    }
}
