//! The embedded store over a disk that fails.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Database, StorageBackend, backends::InMemoryBackend};

use super::{json, next};
use crate::registry::{EmbeddedStore, Event, Precondition, Store, StoreError};

/// A disk in memory that outlives the database on it.
#[derive(Clone, Debug)]
struct Disk {
    memory: Arc<InMemoryBackend>,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        if self.is_full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.memory.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_reads_and_heals() {
    let is_full = Arc::new(AtomicBool::new(false));
    let disk = Disk { memory: Arc::new(InMemoryBackend::new()), is_full: Arc::clone(&is_full) };
    let open = move || Ok(Database::builder().create_with_backend(disk.clone())?);
    let store = EmbeddedStore::open_with(Path::new("disk"), Box::new(open)).unwrap();
    store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap();
    let mut events = store.watch();
    next(&mut events).await;

    is_full.store(true, Ordering::SeqCst);
    let broken = store.put("clusters/b", json("b", "https://b"), Precondition::Any).await;
    assert!(matches!(broken, Err(StoreError::Unknown(_))), "some of it may be on the disk");
    for _ in 0..2 {
        let refused = store.put("clusters/b", json("b", "https://b"), Precondition::Any).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    }
    assert!(matches!(next(&mut events).await, Event::Down(_)));
    assert!(store.get("clusters/a").await.unwrap().is_some());
    assert!(store.get("clusters/b").await.unwrap().is_none());

    is_full.store(false, Ordering::SeqCst);
    let version = store.put("clusters/c", json("c", "https://c"), Precondition::Any).await.unwrap();
    let Event::Reset { entries, .. } = next(&mut events).await else { panic!() };
    assert!(entries.iter().any(|entry| &*entry.key == "clusters/a"));
    let Event::Put(entry) = next(&mut events).await else { panic!() };
    assert_eq!((&*entry.key, entry.version), ("clusters/c", version));
}

#[tokio::test]
async fn a_disk_that_has_room_again_is_noticed_without_a_write() {
    let is_full = Arc::new(AtomicBool::new(false));
    let disk = Disk { memory: Arc::new(InMemoryBackend::new()), is_full: Arc::clone(&is_full) };
    let open = move || Ok(Database::builder().create_with_backend(disk.clone())?);
    let store = EmbeddedStore::open_with(Path::new("disk"), Box::new(open)).unwrap();
    let mut events = store.watch();
    next(&mut events).await;
    is_full.store(true, Ordering::SeqCst);
    store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap_err();
    assert!(matches!(next(&mut events).await, Event::Down(_)));
    is_full.store(false, Ordering::SeqCst);
    assert!(matches!(next(&mut events).await, Event::Reset { .. }));
}
