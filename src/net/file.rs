use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::{
    sync::{Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// Work on files did not end in time. Usual cause: a network mount that hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file system does not answer: is it a mount that hangs?")]
pub struct FileTimeout;

/// Reads a regular file of at most [`MAX_FILE`] bytes: see [`read_file_up_to`].
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_file_up_to(path, MAX_FILE)
}

/// Reads a regular file of at most `max` bytes; a larger one is [`io::ErrorKind::FileTooLarge`]. Blocks for as long as
/// its file system does, but neither on pipes and devices nor on the endless files that the kernel offers.
pub fn read_file_up_to(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let refuse = |kind, what: String| Err(io::Error::new(kind, what));
    // Checked before opening, which alone has effects on some devices.
    if !path.metadata()?.is_file() {
        return refuse(io::ErrorKind::InvalidInput, "not a regular file".to_owned());
    }
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return refuse(io::ErrorKind::FileTooLarge, format!("larger than {} KiB", max >> 10));
    }
    Ok(bytes)
}

/// Does work on files on a thread for blocking work, and waits for it no longer than [`FILE_TIMEOUT`]. Work that hangs
/// continues until it ends; while too much of it hangs, nothing new is started.
pub async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FileTimeout> {
    in_time_then(work, |done| done).await
}

/// The same with another limit, for more than a few small files.
pub async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileTimeout> {
    bounded(&permits(), limit, work, |done| done).await
}

/// Reads as [`in_time`] does, and makes something of what was read. Only the reading is timed; after a timeout the making
/// still happens once the reading has ended.
pub async fn in_time_then<R, T: Send + 'static>(
    read: impl FnOnce() -> R + Send + 'static,
    make: impl FnOnce(R) -> T + Send + 'static,
) -> Result<T, FileTimeout> {
    bounded(&permits(), FILE_TIMEOUT, read, make).await
}

async fn bounded<R, T: Send + 'static>(
    permits: &Arc<Semaphore>,
    limit: Duration,
    read: impl FnOnce() -> R + Send + 'static,
    make: impl FnOnce(R) -> T + Send + 'static,
) -> Result<T, FileTimeout> {
    let deadline = Instant::now() + limit;
    let permit = timeout_at(deadline, Arc::clone(permits).acquire_owned()).await.map_err(|_| FileTimeout)?;
    let (was_read, reading) = oneshot::channel();
    let task = spawn_blocking(move || {
        let bytes = read();
        drop(permit);
        // The waiter may have given up.
        let _ = was_read.send(());
        // One after the other, so that making leaves processor time to those who read.
        let _one_at_a_time = MAKING.lock();
        make(bytes)
    });
    drop(timeout_at(deadline, reading).await.map_err(|_| FileTimeout)?);
    match task.await {
        Ok(done) => Ok(done),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(FileTimeout),
        },
    }
}

/// Largest certificate or key file, in bytes. The bundle of a system's CAs is a fourth of it.
pub const MAX_FILE: u64 = 1 << 20;

/// How long files may take.
pub const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// Works on files at a time, those that hang included.
const MAX_WORKS: usize = 64;

static MAKING: Mutex<()> = Mutex::new(());

#[cfg(not(test))]
fn permits() -> Arc<Semaphore> {
    static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_WORKS)));
    Arc::clone(&PERMITS)
}

/// Each test has its own. Paused time does not stand still while one waits for those of another test: the wait would time
/// out at once.
#[cfg(test)]
fn permits() -> Arc<Semaphore> {
    std::thread_local! {
        static PERMITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_WORKS)));
    }
    PERMITS.with(|permits| Arc::clone(permits))
}

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
        let quick = |limit| bounded(&permits, limit, || 7, |seven| seven + 1);
        assert_eq!(quick(FILE_TIMEOUT).await, Ok(8));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (made, seen) = oneshot::channel();
        let limit = Duration::from_millis(1);
        let hangs = bounded(&permits, limit, move || held.recv().is_err(), |read| made.send(read));
        assert_eq!(hangs.await, Err(FileTimeout));
        assert_eq!(quick(limit).await, Err(FileTimeout), "the first one goes on");
        drop(release);
        assert_eq!(seen.await, Ok(true), "made after all");
        assert_eq!(quick(FILE_TIMEOUT).await, Ok(8));
    }
}
