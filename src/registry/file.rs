//! The embedded store's file: creating, opening and checking it.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use redb::{
    Builder, Database, DatabaseError, StorageBackend, StorageError,
    backends::{FileBackend, InMemoryBackend},
};
use rustix::fs::{Access as Mode, AtFlags, CWD, accessat};

use crate::error::{Access, Advice, BoxError};

/// Another process has the file open: as a rule the gateway that runs here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another fedgate has this file open; use one file per gateway, or store.etcd for several")]
pub(super) struct InUse;

/// Opens the file, or creates it, readable by its owner only.
pub(super) fn open(path: &Path) -> Result<Database, BoxError> {
    if !exists(path)? {
        create(path)?;
    }
    let mut file = options().open(path)?;
    if is_empty(&file)? {
        // As good as a new file, except for its mode.
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))
            .map_err(|error| format!("it is empty, and its mode cannot be set to 0600: {error}"))?;
    } else {
        refuse_foreign(&mut file)?;
    }
    database_in(FileBackend::new(file)?)
}

/// Device and inode of a file; `None` when there is none.
pub(super) type Identity = Option<(u64, u64)>;

/// Which file is at a path now.
pub(super) fn identity(path: &Path) -> Identity {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// What [`open`] would find, in memory; `None` when it would create a new file. Changes and creates nothing, but locks the
/// file while it reads: a gateway that starts at that moment would be refused.
pub(super) fn copy(path: &Path) -> Result<Option<Database>, BoxError> {
    if !exists(path)? {
        may_create(path)?;
        return Ok(None);
    }
    let mut file = options().open(path)?;
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(InUse.into()),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let metadata = file.metadata()?;
    if metadata.len() == 0 {
        let user = rustix::process::geteuid();
        if metadata.uid() != user.as_raw() && !user.is_root() {
            return Err("it is empty and belongs to another user, so its mode cannot be set to 0600: make the gateway's user its owner".into());
        }
        return Ok(None);
    }
    refuse_foreign(&mut file)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64)?;
    memory.write(0, &bytes)?;
    database_in(memory).map(Some)
}

/// Whether the path exists. It must be a regular file then.
fn exists(path: &Path) -> Result<bool, BoxError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let target = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && found.is_symlink() => {
            let target = fs::read_link(path)?;
            return Err(format!(
                "it is a symbolic link to {}, which does not exist: create an empty file there, or remove the link",
                target.display()
            )
            .into());
        }
        target => target?,
    };
    if target.is_file() { Ok(true) } else { Err("it is not a regular file".into()) }
}

/// Creates the file under another name and renames it when it is complete: a gateway that is killed meanwhile leaves
/// nothing that cannot be opened.
fn create(path: &Path) -> Result<(), BoxError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let file = options().create(true).open(&draft)?;
    // Of two gateways that start at once, one creates it.
    file.try_lock()
        .map_err(|_| "another gateway is creating it at this moment: start one gateway per file")?;
    let is_ours = draft.metadata().is_ok_and(|found| found.ino() == file.metadata().map_or(0, |f| f.ino()));
    if !is_ours {
        // The other one has renamed it already.
        return Ok(());
    }
    if path.exists() {
        return Ok(fs::remove_file(&draft)?);
    }
    file.set_len(0)?;
    drop(database_in(FileBackend::new(file.try_clone()?)?)?);
    fs::rename(&draft, path)?;
    Ok(sync_directory(path)?)
}

/// Whether the file could be created. Missing directories would be created first.
fn may_create(path: &Path) -> Result<(), BoxError> {
    let existing = path.ancestors().skip(1).find(|directory| directory.exists()).unwrap_or(Path::new("."));
    if !existing.is_dir() {
        return Err(format!("cannot be created: {} is not a directory", existing.display()).into());
    }
    accessat(CWD, existing, Mode::WRITE_OK | Mode::EXEC_OK, AtFlags::EACCESS).map_err(|error| {
        let error = io::Error::from(error);
        let advice = Advice(&error, Access::Write);
        format!("cannot be created in {}: {error}{advice}", existing.display()).into()
    })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // It holds the secret that signs continue tokens.
    options.read(true).write(true).mode(OWNER_ONLY);
    options
}

fn is_empty(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() == 0)
}

fn refuse_foreign(file: &mut File) -> Result<(), BoxError> {
    let mut start = [0; MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) if start == MAGIC => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
        _ => Err("it is not a registry of fedgate: name another file with store.embedded.path".into()),
    }
}

fn database_in(backend: impl StorageBackend) -> Result<Database, BoxError> {
    let mut builder = Builder::new();
    // Damage by something else is an error then, rather than a panic.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create_with_backend(backend).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => InUse.into(),
        // As itself, so that what to do about it can be said.
        DatabaseError::Storage(StorageError::Io(error)) => error.into(),
        error => error.into(),
    })
}

/// Without this a power failure could lose a new file, and every write in it.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

const OWNER_ONLY: u32 = 0o600;
/// The first bytes of redb's files.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Small, because everything is in memory already.
const CACHE_BYTES: usize = 1 << 20;
