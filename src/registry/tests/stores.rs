use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
};

use redb::{ReadableDatabase as _, TableHandle as _};

use super::{json, next};
use crate::{
    error::{BoxError, Chain, Classify as _},
    registry::{EmbeddedStore, Event, Found, MemoryStore, Precondition, Secret, Store, StoreError},
};

#[tokio::test]
async fn a_slow_watcher_is_given_everything_again() {
    let store = MemoryStore::new();
    let mut events = store.watch();
    for n in 0..1000 {
        store.put(&format!("clusters/{n}"), "x".into(), Precondition::Any).await.unwrap();
    }
    assert!(matches!(next(&mut events).await, Event::Reset { revision: 0, .. }));
    let Event::Reset { entries, revision } = next(&mut events).await else { panic!() };
    assert_eq!((entries.len(), revision), (1000, 1000));
}

#[tokio::test]
async fn the_secret_is_made_once_and_survives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let first = Secret::get_or_create(&store).await.unwrap();
    assert_eq!(Secret::get_or_create(&store).await.unwrap(), first);
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(Secret::get_or_create(&store).await.unwrap(), first);
    assert_ne!(Secret::get_or_create(&MemoryStore::new()).await.unwrap(), first);
    assert_eq!(format!("{first:?}"), "Secret");
}

#[tokio::test]
async fn a_file_is_its_owners_and_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = EmbeddedStore::open(&path).err().unwrap().to_string();
    assert!(error.contains("registry.redb"), "{error}");
    let version = store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.get("clusters/a").await.unwrap().unwrap().version, version);
}

#[test]
fn only_a_lost_answer_leaves_a_client_in_doubt() {
    for (error, in_doubt) in
        [(StoreError::Unknown("lost".into()), true), (StoreError::Unavailable("down".into()), false)]
    {
        let reply = error.reply();
        assert_eq!((reply.status.as_u16(), reply.retry_after), (503, Some(5)));
        assert_eq!(reply.message.contains("may or may not have happened"), in_doubt);
    }
}

#[test]
fn an_error_says_once_what_lies_below_it() {
    let below = || -> BoxError { std::io::Error::other("the disk is on fire").into() };
    for error in [
        StoreError::Unavailable(below()),
        StoreError::Unknown(below()),
        StoreError::TooLarge(below()),
        StoreError::Open { path: "/x".into(), reason: below() },
    ] {
        let line = Chain(&error).to_string();
        assert_eq!(line.matches("on fire").count(), 1, "{line}");
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_is_not_at_its_place_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (directory.path().join("registry.redb"), directory.path().join("elsewhere"));
    let store = EmbeddedStore::open(&path).unwrap();
    store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap();
    let refused = async || {
        let refused = store.put("clusters/b", json("b", "https://b"), Precondition::Any).await.unwrap_err();
        assert!(refused.to_string().contains("put it back, or restart"), "{refused}");
        assert!(store.get("clusters/a").await.unwrap().is_some());
    };
    fs::rename(&path, &elsewhere).unwrap();
    refused().await;
    fs::write(&path, "").unwrap();
    refused().await;
    fs::rename(&elsewhere, &path).unwrap();
    store.put("clusters/b", json("b", "https://b"), Precondition::Any).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.list("clusters/").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_not_opened_in_time_is_given_up() {
    // A pipe that nobody writes to, as a file system that hangs.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let opened = EmbeddedStore::in_time(&path, |path| File::open(path)).await;
    // The thread that waits is let go.
    drop(File::options().read(true).write(true).open(&path));
    let error = opened.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
    let text = format!(
        "cannot open the registry {}: the file system does not answer: is it a mount that hangs?",
        path.display()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_file_that_was_half_made_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    fs::write(directory.path().join("registry.redb.new"), vec![0; 10_000]).unwrap();
    drop(EmbeddedStore::open(&path).unwrap());
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["registry.redb"]);
}

#[test]
fn of_gateways_that_start_at_once_one_has_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = directory.path().join(format!("{round}.redb"));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| EmbeddedStore::open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(opened.iter().filter(|opened| opened.is_ok()).count() <= 1);
        drop(opened);
        EmbeddedStore::open(&path).unwrap();
    }
}

#[test]
fn what_is_no_registry_is_not_opened_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("text"), "not a database, but somebody's notes\n".repeat(10_000)).unwrap();
    fs::write(at("short"), "redb").unwrap();
    let other = redb::Database::create(at("other")).unwrap();
    let transaction = other.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<&str, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(other);
    drop(EmbeddedStore::open(&at("damaged")).unwrap());
    let damaged = File::options().write(true).open(at("damaged")).unwrap();
    damaged.write_all_at(&vec![0x55; 20_000], 4096).unwrap();
    symlink(at("target"), at("dangling")).unwrap();
    symlink(at("loop"), at("loop")).unwrap();
    for (name, reason) in [
        ("", "it is not a regular file"),
        ("no/such", "No such file or directory"),
        ("text/registry.redb", "Not a directory"),
        ("text", "it is not a registry"),
        ("short", "it is not a registry"),
        ("other", "it is another program's database"),
        ("damaged", "DB corrupted"),
        ("dangling", "/target, which does not exist"),
        ("loop", "Too many levels of symbolic links"),
    ] {
        let path = at(name);
        let before = fs::read(&path).ok();
        let opened = EmbeddedStore::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            opened.starts_with("cannot open the registry ") && opened.contains(reason),
            "{name}: {opened}"
        );
        assert_eq!(opened.matches(reason).count(), 1, "{opened}");
        match EmbeddedStore::check(&path) {
            // The directory would be made first.
            Ok(found) => assert!(found == Found::Nothing && name == "no/such", "{name}"),
            Err(error) => assert_eq!(error.to_string(), opened),
        }
        if reason.contains("registry") {
            assert!(fs::read(&path).ok() == before, "{name}");
        }
    }
    assert!(!at("target").exists());
    let other = redb::Database::open(at("other")).unwrap();
    let tables = other.begin_read().unwrap();
    let names: Vec<_> = tables.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert_eq!(names, ["theirs"]);
}

#[test]
fn an_empty_file_becomes_a_registry_of_its_owners() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let link = directory.path().join("link");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&path, &link).unwrap();
    assert_eq!(EmbeddedStore::check(&link).unwrap(), Found::Nothing);
    assert_eq!(path.metadata().unwrap().len(), 0, "a check makes nothing");
    drop(EmbeddedStore::open(&link).unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(link.is_symlink());
    assert_eq!(EmbeddedStore::check(&path).unwrap(), Found::Registry);
}

#[tokio::test]
async fn a_check_tries_what_is_there_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    assert_eq!(EmbeddedStore::check(&path).unwrap(), Found::Nothing);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let store = EmbeddedStore::open(&path).unwrap();
    store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap();
    // The gateway that has it open may be the one whose configuration is checked.
    assert_eq!(EmbeddedStore::check(&path).unwrap(), Found::InUse);
    let refused = EmbeddedStore::open(&path).err().unwrap().to_string();
    let expected = "another fedgate has this file open; use one file per gateway, or store.etcd for several";
    assert_eq!(refused, format!("cannot open the registry {}: {expected}", path.display()));
    // As a gateway that was killed leaves it.
    let killed = directory.path().join("killed.redb");
    fs::copy(&path, &killed).unwrap();
    drop(store);
    for path in [path, killed] {
        let before = fs::read(&path).unwrap();
        assert_eq!(EmbeddedStore::check(&path).unwrap(), Found::Registry);
        assert_eq!(fs::read(&path).unwrap(), before);
        drop(EmbeddedStore::open(&path).unwrap());
    }
}
