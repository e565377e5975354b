use std::{
    collections::{HashMap, HashSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;

use super::{
    LoadError,
    compress::{self, Effort},
    media,
};
use crate::{net::read_file_up_to, wire};

/// All files of a directory, in memory: no request reaches the disk.
#[derive(Debug)]
pub(super) struct Files {
    /// Paths are those below the directory, with slashes.
    by_path: HashMap<String, File>,
    /// The names of the directories at the top.
    directories: HashSet<String>,
    watched: Vec<PathBuf>,
}

/// One file, in each coding that the directory has, or that was made of it.
#[derive(Debug)]
pub(super) struct File {
    pub(super) media_type: &'static str,
    /// The name changes with the content, so that a cached copy never becomes stale.
    pub(super) immutable: bool,
    /// Whole seconds, as HTTP has them.
    pub(super) modified: SystemTime,
    pub(super) plain: Variant,
    pub(super) gzip: Option<Variant>,
    pub(super) brotli: Option<Variant>,
}

/// The bytes that are sent, and their strong validator.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) bytes: Bytes,
    pub(super) etag: HeaderValue,
}

/// Collects the files below one directory.
struct Loader<'a> {
    /// As configured: what is watched, since a link on the way may be pointed at another directory.
    root: &'a Path,
    /// The same without links.
    real: PathBuf,
    room: u64,
    entries: usize,
    found: HashMap<String, (Bytes, SystemTime)>,
    watched: Vec<PathBuf>,
}

// === impl Files ===

impl Files {
    /// Reads a directory. Names that begin with a dot are left out.
    pub(super) fn load(root: &Path) -> Result<Self, LoadError> {
        let real = root.canonicalize().map_err(|error| LoadError::Read { path: root.to_owned(), error })?;
        let mut loader = Loader {
            root,
            real,
            room: MAX_BYTES,
            entries: MAX_ENTRIES,
            found: HashMap::new(),
            watched: Vec::new(),
        };
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            loader.directory(&directory, &mut directories)?;
        }
        let Loader { found, watched, .. } = loader;
        if !found.contains_key(INDEX) {
            return Err(LoadError::NoIndex { path: root.to_owned() });
        }
        let directories = top_directories(found.keys());
        Ok(Self { by_path: assemble(found), directories, watched })
    }

    /// Files that are part of the binary. Those below a directory have its content hash in their path.
    pub(super) fn embedded(files: impl Iterator<Item = (String, Bytes)>, modified: SystemTime) -> Self {
        let mut by_path = HashMap::new();
        for (path, bytes) in files {
            let file = File {
                media_type: media::of(&path),
                immutable: path.contains('/'),
                modified: whole_seconds(modified),
                gzip: None,
                brotli: None,
                plain: Variant::new(bytes),
            };
            by_path.insert(path, file);
        }
        let directories = top_directories(by_path.keys());
        Self { by_path, directories, watched: Vec::new() }.compressed(Effort::Best)
    }

    /// The same with the compressed forms that are missing, so that no request waits for them. The largest files may stay
    /// without: there, that would take too long.
    pub(super) fn compressed(mut self, effort: Effort) -> Self {
        let plain = |file: &&mut File| {
            file.gzip.is_none() && file.brotli.is_none() && wire::is_compressible(file.media_type)
        };
        let mut files: Vec<&mut File> = self.by_path.values_mut().filter(plain).collect();
        files.sort_unstable_by_key(|file| file.plain.bytes.len());
        let mut room = effort.most();
        for file in files {
            let Some(left) = room.checked_sub(file.plain.bytes.len()) else { break };
            room = left;
            file.gzip = compress::gzip(&file.plain.bytes, effort).map(Variant::new);
            file.brotli = compress::brotli(&file.plain.bytes, effort).map(Variant::new);
        }
        self
    }

    /// The file at a decoded path without its first slash.
    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.by_path.get(if path.is_empty() { INDEX } else { path })
    }

    /// The document for every page; its script reads from the URL which one to show.
    pub(super) fn index(&self) -> Option<&File> {
        self.by_path.get(INDEX)
    }

    /// Whether a path is in a directory that has files: what is missing there is not a page.
    pub(super) fn is_below_directory(&self, path: &str) -> bool {
        path.split_once('/').is_some_and(|(first, _)| self.directories.contains(first))
    }

    pub(super) fn watched(&self) -> &[PathBuf] {
        &self.watched
    }
}

// === impl Loader ===

impl Loader<'_> {
    fn directory(&mut self, directory: &str, directories: &mut Vec<String>) -> Result<(), LoadError> {
        let path = self.real.join(directory);
        self.watched.push(self.root.join(directory));
        let read = |error| LoadError::Read { path: path.clone(), error };
        for entry in fs::read_dir(&path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(LoadError::Name { path: entry.path() });
            };
            if name.starts_with('.') {
                continue;
            }
            self.entries = self
                .entries
                .checked_sub(1)
                .ok_or_else(|| LoadError::TooMany { path: self.root.to_owned(), limit: MAX_ENTRIES })?;
            let relative = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let (target, metadata) = self.resolve(&entry.path())?;
            if metadata.is_dir() {
                directories.push(relative);
            } else if metadata.is_file() {
                self.file(relative, &target, &metadata)?;
            }
        }
        Ok(())
    }

    /// Where a path leads, which must be below the directory.
    fn resolve(&self, path: &Path) -> Result<(PathBuf, fs::Metadata), LoadError> {
        let read = |error| LoadError::Read { path: path.to_owned(), error };
        let target = path.canonicalize().map_err(read)?;
        if !target.starts_with(&self.real) {
            return Err(LoadError::Outside { path: path.to_owned() });
        }
        let metadata = target.metadata().map_err(read)?;
        Ok((target, metadata))
    }

    fn file(&mut self, relative: String, target: &Path, metadata: &fs::Metadata) -> Result<(), LoadError> {
        let read = |error| LoadError::Read { path: target.to_owned(), error };
        let mut bytes = read_file_up_to(target, self.room).map_err(|error| match error.kind() {
            ErrorKind::FileTooLarge => {
                LoadError::TooLarge { path: self.root.to_owned(), limit_mib: MAX_BYTES >> 20 }
            }
            _ => read(error),
        })?;
        bytes.shrink_to_fit();
        self.room = self.room.saturating_sub(bytes.len() as u64);
        self.watched.push(self.root.join(&relative));
        self.found.insert(relative, (bytes.into(), metadata.modified().map_err(read)?));
        Ok(())
    }
}

/// The directories at the top.
fn top_directories<'a>(paths: impl Iterator<Item = &'a String>) -> HashSet<String> {
    paths.filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect()
}

/// Groups each file with its compressed forms.
fn assemble(mut found: HashMap<String, (Bytes, SystemTime)>) -> HashMap<String, File> {
    let compressed = |path: &str, found: &HashMap<_, _>| {
        [".gz", ".br"]
            .iter()
            .any(|suffix| path.strip_suffix(suffix).is_some_and(|path| found.contains_key(path)))
    };
    let paths: Vec<String> = found.keys().filter(|path| !compressed(path, &found)).cloned().collect();
    let mut files = HashMap::with_capacity(paths.len());
    for path in paths {
        let mut take = |suffix: &str| found.remove(&format!("{path}{suffix}"));
        let gzip = take(".gz").map(|(bytes, _)| Variant::new(bytes));
        let brotli = take(".br").map(|(bytes, _)| Variant::new(bytes));
        let Some((bytes, modified)) = take("") else { continue };
        let file = File {
            media_type: media::of(&path),
            immutable: media::has_content_hash(&path),
            modified: whole_seconds(modified),
            plain: Variant::new(bytes),
            gzip,
            brotli,
        };
        files.insert(path, file);
    }
    files
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

// === impl Variant ===

impl Variant {
    fn new(bytes: Bytes) -> Self {
        // Half of the hash is more than enough to tell files apart.
        let hash = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, &bytes).as_ref()[..16]);
        let etag =
            HeaderValue::try_from(format!("\"{hash}\"")).expect("base64 and quotes are legal in a header");
        Self { bytes, etag }
    }
}

const INDEX: &str = "index.html";

/// A build of Sensu's UI has 45 MiB, nearly all of it statistics of the build and source maps.
const MAX_BYTES: u64 = 64 << 20;

const MAX_ENTRIES: usize = 10_000;
