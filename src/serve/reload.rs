//! Reading the configuration again while the service runs: on a hangup, or when one of its files is another.
//!
//! What was read is taken whole or not at all. A file that is wrong leaves the old settings in force and is told once.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use super::Shared;
use crate::config::{Config, Overrides, Settings};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Time and length of each file: whether it is worth reading.
type Stamps = BTreeMap<PathBuf, Option<(u64, Option<SystemTime>)>>;

/// Reads the configuration again whenever it is another, until the service stops.
pub async fn watch(
    (file, over): (PathBuf, Overrides),
    settings: watch::Sender<Arc<Settings>>,
    shared: Shared,
    mut hangups: mpsc::Receiver<()>,
) {
    let mut stop = shared.stop.clone();
    let mut stamps = stamps(&files(&file, &settings.borrow().config));
    let mut hash = contents(stamps.keys());
    loop {
        let asked = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            Some(()) = hangups.recv() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let old = settings.borrow().clone();
        let now = self::stamps(&files(&file, &old.config));
        if !asked && now == stamps {
            continue;
        }
        let read = contents(now.keys());
        stamps = now;
        if !asked && read == hash {
            continue;
        }
        hash = read;
        let taken = Settings::load(&file, &over).and_then(|new| fits(&old.config, &new.config).map(|()| new));
        shared.metrics.reloaded(taken.is_ok());
        shared.metrics.part("configuration", taken.is_ok());
        match taken {
            Ok(new) => {
                tracing::info!(file = %file.display(), "the configuration was read again, and is in force");
                shared.metrics.detectors(new.catalog.all().iter().map(|detector| detector.id.as_str()));
                stamps = self::stamps(&files(&file, &new.config));
                hash = contents(stamps.keys());
                settings.send_replace(Arc::new(new));
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(problems = problems.len(), "the configuration is wrong; the old one stays in force");
            }
        }
    }
}

/// What a running service cannot change.
fn fits(old: &Config, new: &Config) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    for (key, same) in [
        ("[lake]", old.lake == new.lake),
        ("[telemetry]", old.telemetry == new.telemetry),
        ("[serve]", old.serve == new.serve),
        ("on = true or false of a part", old.parts().eq(new.parts())),
    ] {
        if !same {
            wrong.push(format!("{key} was changed: that takes a restart of the service"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// The configuration, every file it names, and those in the folders it names.
fn files(file: &Path, config: &Config) -> Vec<PathBuf> {
    let mut all = vec![file.to_owned()];
    for path in config.files() {
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
        all.extend(entries.filter(|path| path.is_file()));
        all.push(path);
    }
    all
}

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |path: &PathBuf| std::fs::metadata(path).ok().map(|meta| (meta.len(), meta.modified().ok()));
    files.iter().map(|path| (path.clone(), stamp(path))).collect()
}

/// A hash of what is in the files: one that was touched is not another.
fn contents<'p>(files: impl Iterator<Item = &'p PathBuf>) -> u64 {
    let mut hash = DefaultHasher::new();
    for path in files {
        path.hash(&mut hash);
        std::fs::read(path).ok().hash(&mut hash);
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lake_pages_and_parts_stay_what_they_are() {
        let parse = |text: &str| Config::parse("t.toml", text).unwrap();
        let old = parse("[lake]\nuri = \"a\"");
        assert_eq!(fits(&old, &parse("[lake]\nuri = \"a\"\n[detect]\napart_seconds = 5")), Ok(()));
        let wrong = fits(&old, &parse("[lake]\nuri = \"b\"\n[detect]\non = false\n[telemetry]\non = false"));
        assert_eq!(wrong.unwrap_err().len(), 3);
    }

    #[test]
    fn what_is_in_a_file_counts_and_not_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, "1").unwrap();
        let before = contents([&file].into_iter());
        std::fs::write(&file, "1").unwrap();
        assert_eq!(contents([&file].into_iter()), before);
        std::fs::write(&file, "2").unwrap();
        assert_ne!(contents([&file].into_iter()), before);
    }
}
