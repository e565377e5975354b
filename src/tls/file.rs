use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use rustix::fs::OFlags;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// Work on files that did not come to its end in time. Usual cause: a network mount that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file system does not answer: is it a mount that hangs?")]
pub struct Late;

/// Reads a regular file of at most [`MAX_FILE`] bytes. Blocks for as long as its file system does, but neither on pipes
/// and devices nor on what the kernel offers as files without an end.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |kind, what| Err(io::Error::new(kind, what));
    // Asked before opening, which alone has effects on some devices.
    if !path.metadata()?.is_file() {
        return refuse(io::ErrorKind::InvalidInput, "not a regular file");
    }
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return refuse(io::ErrorKind::FileTooLarge, "larger than 1 MiB");
    }
    Ok(bytes)
}

/// Does work on files beside the runtime and waits a moment for it. Work that hangs goes on until it ends; when too many
/// do, no more is begun.
pub async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Late> {
    bounded(&PERMITS, FILE_TIMEOUT, work).await
}

async fn bounded<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Late> {
    let done = async {
        let permit = Arc::clone(permits).acquire_owned().await;
        let task = spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        task.await
    };
    match timeout(limit, done).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(ended)) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Late),
        },
        Err(_) => Err(Late),
    }
}

/// Largest certificate or key file, in bytes. The bundle of a system's CAs is a fourth of it.
pub const MAX_FILE: u64 = 1 << 20;

/// How long files may take.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Works on files at a time, those that hang included.
const MAX_WORKS: usize = 64;

static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_WORKS)));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_plausible_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let write =
            |length: u64| std::fs::write(&path, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
        write(MAX_FILE);
        assert_eq!(read_file(&path).unwrap().len() as u64, MAX_FILE);
        write(MAX_FILE + 1);
        assert_eq!(read_file(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for other in [directory.path(), Path::new("/dev/zero"), Path::new("/dev/tty")] {
            assert!(read_file(other).is_err(), "{}", other.display());
        }
        // An endless one, which waits for more when it is empty.
        assert!(read_file(Path::new("/proc/kmsg")).is_err());
    }

    #[tokio::test]
    async fn work_that_hangs_is_given_up_and_bounded_in_number() {
        let permits = Arc::new(Semaphore::new(1));
        assert_eq!(bounded(&permits, FILE_TIMEOUT, || 7).await, Ok(7));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hangs = bounded(&permits, Duration::from_millis(1), move || held.recv().is_err());
        assert_eq!(hangs.await, Err(Late));
        assert_eq!(
            bounded(&permits, Duration::from_millis(1), || 7).await,
            Err(Late),
            "the first one goes on"
        );
        drop(release);
        assert_eq!(bounded(&permits, FILE_TIMEOUT, || 7).await, Ok(7));
    }
}
