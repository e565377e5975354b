//! What sensuctl keeps in the user's configuration directory: URL, tokens, format, namespace.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use crate::cli::output::note;

/// The files of sensuctl.
#[derive(Clone, Debug)]
pub(super) struct SavedFiles {
    directory: PathBuf,
}

/// Access and refresh token with the time at which the access token expires.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Sent with each request.
    pub(super) access: String,
    /// Can be used for one renewal; may be empty.
    pub(super) refresh: String,
    /// Seconds since the Unix epoch.
    pub(super) expires_at: i64,
}

/// The parts of the files that are used here.
#[derive(Default)]
pub(super) struct Saved {
    /// `api-url`
    pub(super) url: Option<String>,
    /// `trusted-ca-file`
    pub(super) trusted_ca_file: Option<String>,
    /// `insecure-skip-tls-verify`
    pub(super) insecure: bool,
    /// `access_token` and its companions.
    pub(super) tokens: Option<Tokens>,
    /// `APIKey`
    pub(super) api_key: Option<String>,
    /// `timeout`
    pub(super) timeout: Option<Duration>,
    /// `format`
    pub(super) format: Option<String>,
    /// `namespace`
    pub(super) namespace: Option<String>,
}

/// Why sensuctl's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SavedError {
    /// A file may not be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file is not one that sensuctl writes. Usual cause: a full disk.
    #[error("{} is damaged: run fedgate configure again", .0.display())]
    Damaged(PathBuf),
}

/// Held while the tokens are renewed; others wait.
pub(super) struct Lock(
    #[cfg_attr(not(test), expect(dead_code, reason = "closing the file ends the lock"))] Option<File>,
);

// === impl SavedFiles ===

impl SavedFiles {
    /// The directory that sensuctl would use in this environment. Without a home directory there is none: the current
    /// directory cannot be trusted.
    pub(super) fn locate(environment: &BTreeMap<String, String>) -> Option<Self> {
        // Without the variable, the directory that the system's list of users has.
        Self::locate_or(environment, std::env::home_dir)
    }

    fn locate_or(
        environment: &BTreeMap<String, String>,
        listed: impl Fn() -> Option<PathBuf>,
    ) -> Option<Self> {
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(Path::new);
        // The XDG specification ignores relative paths too.
        let absolute = |name: &str| get(name).filter(|path| path.is_absolute());
        let directory = get("SENSU_CONFIG_DIR").map(Path::to_owned).or_else(|| {
            let home = || {
                let home = match get("HOME") {
                    Some(_) => absolute("HOME").map(Path::to_owned),
                    None => listed().filter(|home| home.is_absolute()),
                };
                home.map(|home| home.join(".config"))
            };
            let config = absolute("XDG_CONFIG_HOME").map(Path::to_owned).or_else(home);
            config.map(|config| config.join("sensu/sensuctl"))
        });
        directory.map(|directory| Self { directory })
    }

    /// The file that holds URL and tokens.
    pub(super) fn cluster(&self) -> PathBuf {
        self.directory.join("cluster")
    }

    /// What is saved; nothing when sensuctl was never used. Unless `is_needed`, a file that cannot be used is ignored.
    pub(super) fn read(&self, is_needed: bool) -> Result<Saved, SavedError> {
        let object = |path: &Path| match read_object(path) {
            Err(error) if !is_needed => {
                if let SavedError::Damaged(_) = error {
                    note(format!("{error}; it was ignored"));
                }
                Ok(Map::new())
            }
            read => read,
        };
        let cluster = object(&self.cluster())?;
        let profile = object(&self.directory.join("profile"))?;
        // sensuctl merges the two files; only the first holds secrets.
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let nanoseconds = cluster.get("timeout").and_then(Value::as_u64).filter(|n| *n > 0);
        Ok(Saved {
            url: text(&cluster, "api-url"),
            trusted_ca_file: text(&cluster, "trusted-ca-file"),
            insecure: cluster.get("insecure-skip-tls-verify") == Some(&Value::Bool(true)),
            tokens: Tokens::of(&cluster),
            api_key: text(&cluster, "APIKey"),
            timeout: nanoseconds.map(Duration::from_nanos),
            format: text(&profile, "format"),
            namespace: text(&profile, "namespace"),
        })
    }

    /// The tokens that are saved now.
    pub(super) fn tokens(&self) -> Result<Option<Tokens>, SavedError> {
        Ok(Tokens::of(&read_object(&self.cluster())?))
    }

    /// Waits until no other process renews the tokens, for at most `patience`. Where no lock file can be created, none
    /// is held: then the tokens cannot be saved either.
    pub(super) async fn lock(&self, patience: Duration) -> Lock {
        let path = self.directory.join(".fedgate.lock");
        let open = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let Ok(file) = open else { return Lock(None) };
        let start = Instant::now();
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if start.elapsed() >= patience {
                return Lock(None);
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Lock(Some(file))
    }

    /// Changes these keys; everything else in the files stays. What is damaged is made anew.
    pub(super) fn update(&self, cluster: Value, profile: Value) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        for (name, changes) in [("cluster", cluster), ("profile", profile)] {
            let Value::Object(changes) = changes else { continue };
            if changes.is_empty() {
                continue;
            }
            let path = self.directory.join(name);
            let path = fs::canonicalize(&path).unwrap_or(path);
            let mut object = match read_object(&path) {
                Err(SavedError::Read { error, .. }) => return Err(error),
                read => read.unwrap_or_default(),
            };
            object.extend(changes);
            write_atomically(&path, &serde_json::to_vec_pretty(&object)?)?;
        }
        Ok(())
    }

    /// Replaces `old` with `new`. Everything else in the file stays; a reader sees the old file or the new one. If the
    /// file has other tokens by now, they are kept.
    pub(super) fn replace(&self, old: &Tokens, new: &Tokens) -> io::Result<()> {
        // A symbolic link stays one.
        let path = fs::canonicalize(self.cluster())?;
        let mut object = read_object(&path).map_err(io::Error::other)?;
        if Tokens::of(&object).is_none_or(|found| found.refresh != old.refresh) {
            return Ok(());
        }
        object.insert("access_token".into(), new.access.as_str().into());
        object.insert("expires_at".into(), new.expires_at.into());
        object.insert("refresh_token".into(), new.refresh.as_str().into());
        let text = serde_json::to_vec_pretty(&object)?;
        write_atomically(&path, &text)
    }
}

// === impl Tokens ===

impl Tokens {
    /// The tokens in an object with Sensu's keys.
    pub(super) fn of(object: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let access = text("access_token");
        let expires_at = object.get("expires_at").and_then(Value::as_i64).unwrap_or_default();
        (!access.is_empty()).then(|| Self { access, refresh: text("refresh_token"), expires_at })
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, SavedError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Map::new());
        }
        Err(error) => return Err(SavedError::Read { path: path.to_owned(), error }),
    };
    serde_json::from_slice(&text).map_err(|_| SavedError::Damaged(path.to_owned()))
}

/// Writes a temporary file in the same directory and renames it, so that a crash leaves either the old or the new file.
pub(super) fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..)));
    let written = (|| {
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    fn files() -> (tempfile::TempDir, SavedFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = SavedFiles { directory: directory.path().to_owned() };
        (directory, files)
    }

    fn tokens(n: u32) -> Tokens {
        Tokens { access: format!("access{n}"), refresh: format!("refresh{n}"), expires_at: i64::from(n) }
    }

    #[test]
    fn the_directory_is_sensuctls() {
        let locate = |pairs: &[(&str, &str)]| {
            let environment = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let listed = || pairs.is_empty().then(|| "/listed".into());
            SavedFiles::locate_or(&environment, listed).map(|files| files.cluster().display().to_string())
        };
        let at = |path: &str| Some(path.to_owned());
        assert_eq!(locate(&[("HOME", "/h")]), at("/h/.config/sensu/sensuctl/cluster"));
        assert_eq!(locate(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), at("/x/sensu/sensuctl/cluster"));
        assert_eq!(locate(&[("SENSU_CONFIG_DIR", "/d"), ("XDG_CONFIG_HOME", "/x")]), at("/d/cluster"));
        // The directory that the command is started in must not decide where a password goes.
        assert_eq!(locate(&[]), at("/listed/.config/sensu/sensuctl/cluster"));
        for nowhere in [vec![("HOME", "")], vec![("HOME", "h")], vec![("XDG_CONFIG_HOME", "x")]] {
            assert_eq!(locate(&nowhere), None, "{nowhere:?}");
        }
        assert_eq!(
            locate(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]),
            at("/h/.config/sensu/sensuctl/cluster")
        );
    }

    #[test]
    fn what_sensuctl_wrote_is_understood_and_nothing_is_no_error() {
        let (_directory, files) = files();
        let saved = files.read(true).unwrap();
        assert!(saved.url.is_none() && saved.tokens.is_none());
        let cluster = json!({"api-url": "https://gw", "trusted-ca-file": "", "insecure-skip-tls-verify": false,
            "access_token": "a", "expires_at": 7, "refresh_token": "r", "APIKey": "", "timeout": 15_000_000_000_u64});
        fs::write(files.cluster(), cluster.to_string()).unwrap();
        fs::write(files.directory.join("profile"), r#"{"format":"yaml","namespace":"ops"}"#).unwrap();
        let saved = files.read(true).unwrap();
        assert_eq!(saved.url.as_deref(), Some("https://gw"));
        assert_eq!((saved.trusted_ca_file, saved.api_key), (None, None));
        assert_eq!(saved.tokens.unwrap().expires_at, 7);
        assert_eq!(saved.timeout, Some(Duration::from_secs(15)));
        assert_eq!((saved.format.as_deref(), saved.namespace.as_deref()), (Some("yaml"), Some("ops")));
        fs::write(files.cluster(), "{").unwrap();
        assert!(matches!(files.read(true), Err(SavedError::Damaged(_))));
    }

    #[test]
    fn new_tokens_replace_the_old_ones_and_nothing_else() {
        let (_directory, files) = files();
        let cluster = json!({"api-url": "https://gw", "unknown": {"x": 1}, "access_token": "access1",
            "expires_at": 1, "refresh_token": "refresh1", "timeout": 1});
        fs::write(files.cluster(), cluster.to_string()).unwrap();
        files.replace(&tokens(1), &tokens(2)).unwrap();
        let text = fs::read_to_string(files.cluster()).unwrap();
        let now: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"api-url": "https://gw", "unknown": {"x": 1}, "access_token": "access2",
            "expires_at": 2, "refresh_token": "refresh2", "timeout": 1});
        assert_eq!(now.to_string(), expected.to_string());
        assert_eq!(fs::metadata(files.cluster()).unwrap().permissions().mode() & 0o777, 0o600);
        // Another login has been saved in the meantime.
        files.replace(&tokens(1), &tokens(3)).unwrap();
        assert_eq!(fs::read_to_string(files.cluster()).unwrap(), text);
        assert_eq!(fs::read_dir(&files.directory).unwrap().count(), 1, "no temporary file is left");
    }

    #[tokio::test]
    async fn only_one_renews_at_a_time() {
        let (_directory, files) = files();
        let first = files.lock(Duration::ZERO).await;
        assert!(first.0.is_some());
        assert!(files.lock(Duration::ZERO).await.0.is_none());
        drop(first);
        assert!(files.lock(Duration::ZERO).await.0.is_some());
    }
}
