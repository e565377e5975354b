use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, backends::FileBackend};
use tokio::sync::{mpsc, oneshot};

use super::{
    Entry, Events, Precondition, Store, StoreError,
    table::{Change, Planned, Table},
};
use crate::error::BoxError;

/// A store in one file: crash-safe, without set-up, for one gateway.
///
/// All of it is in memory too, so that reading touches no disk. One thread of its own writes, one change after the
/// other, each synced before it is acknowledged or visible. After a failed write the file is opened anew before the
/// next one, since nobody knows how much of it was written.
pub struct EmbeddedStore {
    table: Arc<Table>,
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
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
    table: Arc<Table>,
}

// === impl EmbeddedStore ===

impl EmbeddedStore {
    /// Opens the file, or creates it for its owner only. Blocks: reads the whole file. The directory must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let owned = path.to_owned();
        Self::open_with(path, Box::new(move || open_file(&owned)))
    }

    pub(super) fn open_with(path: &Path, open: Opener) -> Result<Self, StoreError> {
        let failed = |source: BoxError| StoreError::Open { path: path.to_owned(), source };
        let database = open().map_err(failed)?;
        let (entries, revision) = match load(&database).map_err(failed)? {
            Loaded::Content(entries, revision) => (entries, revision),
            Loaded::Newer(found) => {
                let registry = path.display().to_string();
                return Err(StoreError::Schema { registry, found: found.to_string() });
            }
        };
        let table = Table::new(entries, revision);
        let writer =
            Writer { path: path.to_owned(), open, database: Some(database), table: Arc::clone(&table) };
        let (requests, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("fedgate-registry".to_owned());
        let writer = thread.spawn(move || writer.run(queue)).map_err(|e| failed(e.into()))?;
        Ok(Self { table, requests: Some(requests), writer: Some(writer) })
    }

    async fn write(
        &self,
        key: &str,
        change: Change,
        expected: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        let gone = || StoreError::unavailable("the thread that writes it has ended");
        let (done, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        let request = Request { key: key.to_owned(), change, expected, done };
        requests.send(request).await.map_err(|_| gone())?;
        answer.await.map_err(|_| StoreError::Unknown("the thread that writes it has ended".into()))?
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
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            let result = self.write(&request.key, request.change, request.expected);
            // A caller that has gone does not undo the write.
            let _ = request.done.send(result);
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

    /// What the failed write left is in the file: that counts, whether it was acknowledged or not.
    fn reopen(&mut self) -> Result<(), BoxError> {
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

fn open_file(path: &Path) -> Result<Database, BoxError> {
    if !path.exists() {
        create_file(path)?;
    }
    database_in(options().open(path)?)
}

/// Makes the file beside its place and moves it there when it is complete: a gateway killed meanwhile leaves nothing
/// that cannot be opened.
fn create_file(path: &Path) -> Result<(), BoxError> {
    use std::os::unix::fs::MetadataExt;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let file = options().create(true).open(&draft)?;
    // Of two gateways that start at once, one makes it.
    file.try_lock().map_err(|_| "another gateway is creating it at this moment")?;
    let is_ours = draft.metadata().is_ok_and(|found| found.ino() == file.metadata().map_or(0, |f| f.ino()));
    if !is_ours {
        // The other one has moved it already.
        return Ok(());
    }
    if path.exists() {
        return Ok(fs::remove_file(&draft)?);
    }
    file.set_len(0)?;
    drop(database_in(file.try_clone()?)?);
    fs::rename(&draft, path)?;
    Ok(sync_directory(path)?)
}

fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    // It holds the secret that signs continue tokens.
    options.read(true).write(true).mode(0o600);
    options
}

fn database_in(file: File) -> Result<Database, BoxError> {
    let backend = FileBackend::new(file)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// Without this a power failure could lose a new file, and every write in it.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads everything; gives a new file its tables.
fn load(database: &Database) -> Result<Loaded, BoxError> {
    let transaction = database.begin_write()?;
    {
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
/// Writes waiting for the disk; more wait outside.
const QUEUE: usize = 64;
/// Everything is in our own memory already.
const CACHE_BYTES: usize = 1 << 20;
