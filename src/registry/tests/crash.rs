//! A process that writes is killed, again and again; what it said was written must be there.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use crate::registry::{EmbeddedStore, Event, Precondition, Store};

/// Rounds of the test; more by hand.
const ROUNDS_VARIABLE: &str = "FEDGATE_CRASH_ROUNDS";
const ROUNDS: u64 = 200;
const FILE_VARIABLE: &str = "FEDGATE_CRASH_FILE";
const SLOTS: u64 = 40;

/// The n-th write; it makes revision n. Every fifth deletes what the one before it wrote.
fn write(n: u64) -> (String, Option<String>) {
    if n.is_multiple_of(5) {
        (format!("clusters/c{}", (n - 1) % SLOTS), None)
    } else {
        let length = usize::try_from(n * 7919 % 20_000).unwrap();
        (format!("clusters/c{}", n % SLOTS), Some(format!("{n}:{}", "x".repeat(length))))
    }
}

fn state_after(n: u64) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for (key, value) in (1..=n).map(write) {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
    state
}

async fn content(store: &EmbeddedStore) -> (BTreeMap<String, String>, u64) {
    let Event::Reset { entries, revision } = super::next(&mut store.watch()).await else { panic!() };
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    (entries.iter().map(|entry| (entry.key.to_string(), text(&entry.value))).collect(), revision)
}

/// Not a test: what the test below starts and kills.
#[tokio::test]
#[ignore = "started by acknowledged_writes_survive_kill_9"]
async fn child() {
    let Ok(path) = env::var(FILE_VARIABLE) else { return };
    let mut out = std::io::stdout();
    writeln!(out, "acknowledged 0").unwrap();
    let store = EmbeddedStore::open(Path::new(&path)).unwrap();
    let (_, mut n) = content(&store).await;
    loop {
        n += 1;
        let (key, value) = write(n);
        let revision = match value {
            Some(value) => store.put(&key, value.into(), Precondition::Any).await.unwrap(),
            None => store.delete(&key, Precondition::Any).await.unwrap().unwrap(),
        };
        assert_eq!(revision, n);
        writeln!(out, "acknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

/// Runs the child until it has acknowledged so many writes, kills it, and returns the last that it acknowledged.
fn run_and_kill(path: &Path, writes: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "registry::tests::crash::child", "--ignored", "--nocapture"])
        .env(FILE_VARIABLE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let acknowledged =
        |line: String| line.split_once("acknowledged ").map(|(_, n)| n.parse::<u64>().unwrap());
    let mut seen: Vec<u64> = lines.by_ref().filter_map(acknowledged).take(writes + 1).collect();
    assert_eq!(seen.len(), writes + 1, "the child stopped by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines.filter_map(acknowledged));
    seen.into_iter().max().unwrap()
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    let rounds = env::var(ROUNDS_VARIABLE).ok().map_or(ROUNDS, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let mut total = 0;
    for round in 0..rounds {
        let writes = if round % 4 == 0 { 0 } else { fastrand::usize(1..40) };
        let acknowledged = run_and_kill(&path, writes).max(total);
        let store = EmbeddedStore::open(&path).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let (found, revision) = content(&store).await;
        // One write may have been on its way.
        assert!(
            (acknowledged..=acknowledged + 1).contains(&revision),
            "round {round}: {acknowledged} {revision}"
        );
        assert!(
            found == state_after(revision),
            "round {round}: the content is not that of revision {revision}"
        );
        total = revision;
    }
    assert!(total > 0);
}
