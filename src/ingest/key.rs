//! The key of the fingerprints: where it is kept, how it is made, and what is wrong with it.
//!
//! It lies outside of every lake: whoever may read a lake must not be able to check a guessed secret against it. The first
//! writer makes it. Old keys may stand behind the present one, so that fingerprints from before a change can still be told.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::decode::secrets::key::{KEY_BYTES, Key, KeyError};

/// Where the key comes from. The environment's key counts before the file's.
#[derive(Clone, Default)]
pub struct KeySource {
    /// The key itself, from the environment.
    pub text: Option<String>,
    /// Its file. Without one: [`default_file`].
    pub file: Option<PathBuf>,
}

/// The present key, and those before it.
#[derive(Clone, Debug)]
pub struct Keys {
    pub current: Key,
    /// Newest first.
    pub old: Vec<Key>,
}

/// Why there is no key. No message repeats any part of one.
#[derive(Debug, Error)]
pub enum KeyFileError {
    #[error("TOKENTRAIL_SECRET_KEY: {0}")]
    Environment(KeyError),
    #[error("{path}, line {line}: {cause}")]
    Wrong { path: String, line: usize, cause: KeyError },
    #[error("{path} holds no key; a key is {KEY_BYTES} random bytes, written as 64 hexadecimal digits or in base64")]
    Empty { path: String },
    #[error("the key file {path} cannot be {doing}: {cause}")]
    File { path: String, doing: &'static str, cause: io::Error },
    #[error(
        "the key file {path} lies inside the lake, where everybody who may read the lake could check guessed secrets \
         against it: keep it elsewhere and name it with --secret-key-file"
    )]
    InLake { path: String },
    #[error(
        "there is no place for the key of fingerprints: neither XDG_CONFIG_HOME nor HOME is set; name a file with \
         --secret-key-file, or give the key in TOKENTRAIL_SECRET_KEY"
    )]
    NoPlace,
    #[error("the system gave no random bytes for a new key: {0}")]
    Random(String),
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySource").field("text", &self.text.as_ref().map(|_| "…")).field("file", &self.file).finish()
    }
}

/// The file of a user who named none: `tokentrail/secret.key` in the folder of configuration (XDG Base Directory
/// Specification), given the values of XDG_CONFIG_HOME and HOME.
pub fn default_file(config_home: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
    let set = |value: Option<&str>| value.filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    let config = set(config_home).or_else(|| Some(set(home)?.join(".config")))?;
    Some(config.join("tokentrail").join("secret.key"))
}

impl KeySource {
    /// The key in the environment, else in a file; that of the user if none is named.
    pub fn here(file: Option<PathBuf>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let by_default = || default_file(variable("XDG_CONFIG_HOME").as_deref(), variable("HOME").as_deref());
        Self { text: variable("TOKENTRAIL_SECRET_KEY"), file: file.or_else(by_default) }
    }

    /// The keys; a new one is made and said to be if there is no file yet. `lake` is the lake's folder, if it is one.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong and with which file.
    pub fn keys(&self, lake: Option<&Path>) -> Result<Keys, KeyFileError> {
        let path = match (&self.text, &self.file) {
            (None, None) => return Err(KeyFileError::NoPlace),
            (None, Some(path)) => path,
            (Some(_), _) => return self.known()?.ok_or(KeyFileError::NoPlace),
        };
        if lake.is_some_and(|lake| is_inside(path, lake)) {
            return Err(KeyFileError::InLake { path: path.display().to_string() });
        }
        if let Some(keys) = self.known()? {
            return Ok(keys);
        }
        let keys = make(path)?;
        tracing::info!(
            file = %path.display(),
            key = keys.current.id(),
            "secrets in records are replaced by fingerprints with this key: keep the file, and keep it apart from the lake"
        );
        Ok(keys)
    }

    /// The keys, if there are any yet.
    ///
    /// # Errors
    /// Those of [`Self::keys`].
    pub fn known(&self) -> Result<Option<Keys>, KeyFileError> {
        if let Some(text) = &self.text {
            let mut keys = text.split_whitespace().map(|word| Key::parse(word).map_err(KeyFileError::Environment));
            let current = keys.next().unwrap_or(Err(KeyFileError::Environment(KeyError::Empty)))?;
            return Ok(Some(Keys { current, old: keys.collect::<Result<_, _>>()? }));
        }
        let Some(path) = &self.file else { return Ok(None) };
        match read(path) {
            Err(KeyFileError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            keys => keys.map(Some),
        }
    }
}

/// Reads a key file: one key a line, the present one first; empty lines and lines that begin with # are passed over.
fn read(path: &Path) -> Result<Keys, KeyFileError> {
    const BYTES_MAX: u64 = 1 << 20;
    let failed = |cause| KeyFileError::File { path: path.display().to_string(), doing: "read", cause };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "others than the owner may read the key of fingerprints: chmod 600 would keep it secret"
        );
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
        Key::parse(text).map_err(|cause| KeyFileError::Wrong { path: path.display().to_string(), line, cause })
    });
    let mut keys = keys.collect::<Result<Vec<_>, _>>()?.into_iter();
    let current = keys.next().ok_or_else(|| KeyFileError::Empty { path: path.display().to_string() })?;
    Ok(Keys { current, old: keys.collect() })
}

/// Makes a key and its file, readable by the owner alone. Two processes may do so at once: the file appears whole or not at
/// all, and the second of them reads what the first has made.
fn make(path: &Path) -> Result<Keys, KeyFileError> {
    let failed = |cause| KeyFileError::File { path: path.display().to_string(), doing: "made", cause };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|cause| KeyFileError::Random(cause.to_string()))?;
    let key = Key::new(bytes);
    let text =
        format!("# The key of Tokentrail's fingerprints. Older keys may follow, one a line.\n{}\n", key.to_hex());

    let draft = folder.join(format!(".secret.key.{}.{}", std::process::id(), &key.check_value()[..8]));
    let written = create_new(&draft, &text).and_then(|()| fs::hard_link(&draft, path));
    // The draft is in nobody's way, should it stay.
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return made_by_another(path),
        // A file system without links: the file is then seen while it is written, so readers wait a little.
        Err(_) => match create_new(path, &text) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return made_by_another(path),
            created => created.map_err(failed)?,
        },
    }
    // The name in the folder must last as long as the fingerprints do. Where folders cannot be synced, they need not be.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(Keys { current: key, old: Vec::new() })
}

fn create_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn made_by_another(path: &Path) -> Result<Keys, KeyFileError> {
    const TRIES: u32 = 20;
    for _ in 1..TRIES {
        match read(path) {
            Err(KeyFileError::Empty { .. } | KeyFileError::Wrong { .. }) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            keys => return keys,
        }
    }
    read(path)
}

/// Whether a file lies in a folder or would lie there, links followed as far as they go.
fn is_inside(file: &Path, folder: &Path) -> bool {
    let real = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let known = path.ancestors().find_map(|part| Some((fs::canonicalize(part).ok()?, part.to_owned())));
        match known {
            Some((real, part)) => path.strip_prefix(&part).map_or(real.clone(), |rest| real.join(rest)),
            None => path,
        }
    };
    real(file).starts_with(real(folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn source(file: &Path) -> KeySource {
        KeySource { text: None, file: Some(file.to_owned()) }
    }

    #[test]
    fn the_first_use_makes_a_key_that_only_its_owner_reads() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("config/tokentrail/secret.key");
        let made = source(&path).keys(None).unwrap();
        let again = source(&path).keys(Some(&temp.path().join("lake"))).unwrap();
        assert_eq!(made.current, again.current);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn many_at_once_make_one_key() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/secret.key");
        let makers: Vec<_> = (0..16)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || source(&path).keys(None).unwrap().current.id().to_owned())
            })
            .collect();
        let ids: Vec<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn old_keys_stand_behind_the_present_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("keys");
        let (new, old) = ("01".repeat(31) + "02", "03".repeat(31) + "04");
        fs::write(&path, format!("# new\n{new}\n\n# until 2026\n{old}\n")).unwrap();
        let keys = source(&path).keys(None).unwrap();
        assert_eq!((keys.current, keys.old), (Key::parse(&new).unwrap(), vec![Key::parse(&old).unwrap()]));
        let text = Some(format!("{new}\n{old}"));
        let keys = KeySource { text, file: None }.keys(None).unwrap();
        assert_eq!(keys.old.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("secret.key");
        let says = |part: &str| {
            let error = source(&path).keys(Some(&temp.path().join("lake"))).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("secret.key") && !error.contains("hunter2"), "{error}");
        };
        fs::write(&path, "").unwrap();
        says("holds no key");
        fs::write(&path, "# key\nhunter2hunter2").unwrap();
        says("line 2: it holds 10 bytes");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        says("cannot be read");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        says("cannot be read");
        let inside = temp.path().join("lake/config/secret.key");
        let error = source(&inside).keys(Some(&temp.path().join("lake"))).unwrap_err();
        assert!(matches!(error, KeyFileError::InLake { .. }), "{error}");
        assert!(matches!(KeySource::default().keys(None), Err(KeyFileError::NoPlace)));
        let text = Some("hunter2".to_owned());
        let error = KeySource { text, file: None }.keys(None).unwrap_err().to_string();
        assert!(error.starts_with("TOKENTRAIL_SECRET_KEY: ") && !error.contains("hunter2"), "{error}");
        let file = temp.path().join("x");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let below = source(&file.join("secret.key")).keys(None).unwrap_err().to_string();
        assert!(below.contains("secret.key cannot be"), "{below}");
    }

    #[test]
    fn the_default_place_follows_the_environment() {
        let place = |config, home| default_file(config, home).map(|path| path.display().to_string());
        assert_eq!(place(Some("/c"), Some("/h")).as_deref(), Some("/c/tokentrail/secret.key"));
        assert_eq!(place(None, Some("/h")).as_deref(), Some("/h/.config/tokentrail/secret.key"));
        assert_eq!(place(Some("relative"), Some("/h")).as_deref(), Some("/h/.config/tokentrail/secret.key"));
        assert_eq!(place(None, None), None);
    }
}
