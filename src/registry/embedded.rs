use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle as _};
use tokio::{
    runtime::{self, Runtime},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Entry, Events, Precondition, Store, StoreError, file,
    table::{Change, Planned, Table},
};
use crate::{error::BoxError, net};

/// A store in one file: crash-safe, without set-up, for one gateway.
///
/// All of it is in memory too, so that reads need no disk access. A dedicated thread makes the writes one by one, each
/// synced before it is acknowledged or visible. After a failed write the file is opened again before the next one, since
/// it is unknown how much was written.
pub struct EmbeddedStore {
    table: Arc<Table>,
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What a check of the file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A registry that can be opened.
    Registry,
    /// Nothing; a registry would be created.
    Nothing,
    /// A file that another process, as a rule a gateway, has open. What it holds was not read.
    InUse,
}

/// Opens the file, the first time and after a failure.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, BoxError> + Send>;

struct Request {
    key: String,
    change: Change,
    expected: Precondition,
    done: oneshot::Sender<Result<Option<u64>, StoreError>>,
}

struct Writer {
    path: PathBuf,
    open: Opener,
    /// `None` after a failure.
    database: Option<Database>,
    /// Of the file that was opened.
    identity: file::Identity,
    table: Arc<Table>,
}

// === impl EmbeddedStore ===

impl EmbeddedStore {
    /// Opens the file, or creates it for its owner only. Blocks: reads the whole file. The directory must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let owned = path.to_owned();
        Self::open_with(path, Box::new(move || file::open(&owned)))
    }

    /// Checks that [`Self::open`] would succeed, or has done so in the gateway that runs. Changes and creates nothing: it
    /// opens a copy in memory. Blocks.
    pub fn check(path: &Path) -> Result<Found, StoreError> {
        let copy = match file::copy(path) {
            Ok(Some(copy)) => copy,
            Ok(None) => return Ok(Found::Nothing),
            Err(error) if error.is::<file::InUse>() => return Ok(Found::InUse),
            Err(reason) => return Err(StoreError::Open { path: path.to_owned(), reason }),
        };
        content(&copy, path).map(|_| Found::Registry)
    }

    /// Does work with the file, such as [`Self::open`], on a thread for blocking work, and gives it up when the file system
    /// hangs. The work goes on until it ends.
    pub async fn in_time<T: Send + 'static>(
        path: &Path,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let owned = path.to_owned();
        let done = net::within(PATIENCE, move || work(&owned)).await;
        done.map_err(|hangs| StoreError::Open { path: path.to_owned(), reason: hangs.into() })
    }

    pub(super) fn open_with(path: &Path, open: Opener) -> Result<Self, StoreError> {
        let failed = |reason: BoxError| StoreError::Open { path: path.to_owned(), reason };
        let database = open().map_err(failed)?;
        let (entries, revision) = content(&database, path)?;
        let table = Table::new(entries, revision);
        let writer = Writer {
            path: path.to_owned(),
            open,
            database: Some(database),
            identity: file::identity(path),
            table: Arc::clone(&table),
        };
        let (requests, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("fedgate-registry".to_owned());
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        let writer = thread.spawn(move || writer.run(&runtime, queue)).map_err(|e| failed(e.into()))?;
        Ok(Self { table, requests: Some(requests), writer: Some(writer) })
    }

    async fn write(
        &self,
        key: &str,
        change: Change,
        expected: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        let gone = || StoreError::unavailable("its writer thread has ended");
        let (done, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        let request = Request { key: key.to_owned(), change, expected, done };
        requests.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| StoreError::Unknown("its writer thread has ended".into()))?
    }
}

impl Store for EmbeddedStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        future::ready(Ok(self.table.get(key))).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        future::ready(Ok(self.table.list(prefix))).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let written = self.write(key, Change::Put(value), expected);
        written.map(|version| version.map(Option::unwrap_or_default)).boxed()
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        self.write(key, Change::Delete, expected).boxed()
    }

    fn watch(&self) -> Events {
        self.table.watch()
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the writes in the queue and closes the file.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to close.
            let _ = writer.join();
        }
    }
}

// === impl Writer ===

impl Writer {
    fn run(mut self, runtime: &Runtime, mut queue: mpsc::Receiver<Request>) {
        loop {
            let next = match self.database {
                Some(_) => Ok(queue.blocking_recv()),
                // The disk may have room again before the next write comes.
                None => runtime.block_on(async { timeout(RETRY, queue.recv()).await }),
            };
            match next {
                Ok(Some(request)) => {
                    let result = self.write(&request.key, request.change, request.expected);
                    // A caller that has gone does not undo the write.
                    let _ = request.done.send(result);
                }
                Ok(None) => return,
                Err(_) => drop(self.reopen()),
            }
        }
    }

    fn write(
        &mut self,
        key: &str,
        change: Change,
        expected: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        if self.database.is_none() {
            self.reopen().map_err(StoreError::Unavailable)?;
        }
        let planned = self.table.plan(key, change, expected)?;
        if matches!(planned, Planned::Nothing) {
            return Ok(None);
        }
        let Some(database) = &self.database else { return Err(StoreError::unavailable("closed")) };
        if file::identity(&self.path) != self.identity {
            // What is written to that file now is not seen by anyone.
            tracing::error!(path = %self.path.display(), "the registry cannot be written: {MOVED}");
            return Err(StoreError::unavailable(MOVED));
        }
        match commit(database, &planned) {
            Ok(()) => Ok(self.table.apply(planned)),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the registry cannot be written");
                self.database = None;
                self.table.down(&error.to_string());
                Err(StoreError::Unknown(error))
            }
        }
    }

    /// Whatever the failed write left in the file counts, acknowledged or not.
    fn reopen(&mut self) -> Result<(), BoxError> {
        // Another file in its place, such as an empty one, would remove all clusters.
        if file::identity(&self.path) != self.identity {
            return Err(MOVED.into());
        }
        let database = (self.open)()?;
        match load(&database)? {
            Loaded::Content(entries, revision) => self.table.reset(entries, revision),
            Loaded::Newer(_) => return Err("the file has been replaced by one of a newer version".into()),
        }
        self.database = Some(database);
        tracing::info!(path = %self.path.display(), "the registry can be written again");
        Ok(())
    }
}

/// What a file holds.
enum Loaded {
    Content(Vec<Entry>, u64),
    /// A schema that this version does not know.
    Newer(u64),
}

/// Everything in a file of this version, and its revision.
fn content(database: &Database, path: &Path) -> Result<(Vec<Entry>, u64), StoreError> {
    match load(database).map_err(|reason| StoreError::Open { path: path.to_owned(), reason })? {
        Loaded::Content(entries, revision) => Ok((entries, revision)),
        Loaded::Newer(found) => {
            Err(StoreError::Schema { registry: path.display().to_string(), found: found.to_string() })
        }
    }
}

/// Reads everything; gives a new file its tables.
fn load(database: &Database) -> Result<Loaded, BoxError> {
    let transaction = database.begin_write()?;
    {
        let mut tables = transaction.list_tables()?.peekable();
        if tables.peek().is_some() && !tables.any(|table| table.name() == META.name()) {
            return Err("it is another program's database: name another file with store.embedded.path".into());
        }
        let mut meta = transaction.open_table(META)?;
        transaction.open_table(ENTRIES)?;
        let schema = meta.get(SCHEMA_KEY)?.map(|found| found.value());
        match schema {
            Some(SCHEMA) => {}
            Some(newer) => return Ok(Loaded::Newer(newer)),
            None => {
                meta.insert(SCHEMA_KEY, SCHEMA)?;
            }
        }
    }
    transaction.commit()?;
    let transaction = database.begin_read()?;
    let revision = transaction.open_table(META)?.get(REVISION_KEY)?.map_or(0, |found| found.value());
    let mut entries = Vec::new();
    for row in transaction.open_table(ENTRIES)?.iter()? {
        let (key, value) = row?;
        let (version, value) = value.value();
        entries.push(Entry { key: key.value().into(), value: Bytes::copy_from_slice(value), version });
    }
    Ok(Loaded::Content(entries, revision))
}

/// Returns when the change is on disk.
fn commit(database: &Database, planned: &Planned) -> Result<(), BoxError> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut meta = transaction.open_table(META)?;
        let revision = match planned {
            Planned::Nothing => return Ok(()),
            Planned::Put(entry) => {
                entries.insert(&*entry.key, (entry.version, entry.value.as_ref()))?;
                entry.version
            }
            Planned::Delete { key, revision } => {
                entries.remove(&**key)?;
                *revision
            }
        };
        meta.insert(REVISION_KEY, revision)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Version and value of every key.
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema";
const REVISION_KEY: &str = "revision";
const SCHEMA: u64 = 1;
const MOVED: &str = "its file was moved, deleted or replaced: put it back, or restart the gateway";
/// How long a file may take to be read, checked and synced. Disks that spin up and small network mounts need seconds.
const PATIENCE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(30) };
/// How often a file that failed is tried again while there are no writes.
const RETRY: Duration = if cfg!(test) { Duration::from_millis(5) } else { Duration::from_secs(5) };
/// Most writes that wait for the disk; further callers wait to be queued.
const QUEUE: usize = 64;
