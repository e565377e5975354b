use std::time::SystemTime;

use http::StatusCode;
use tokio::{sync::watch, time::Instant};

use super::*;
use crate::{
    error::Classify as _,
    telemetry::Capture,
    types::{BackendHealth, BackendState, ClusterHealth},
    upstream::{HealthConfig, Prober},
};

const VERSION: &str = "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"sensu_backend\":\"6.12.0\"}\n";

/// As Sensu 6.12 answers, with the largest id.
const HEALTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 132\r\n\r\n{\"Alarms\":null,\"ClusterHealth\":[{\"MemberID\":9,\"Err\":\"\",\"Healthy\":true}],\"Header\":{\"cluster_id\":18446744073709551615,\"raft_term\":7}}\n";

/// A network whose backends answer, a prober, and a worker that heeds it.
struct Rig {
    net: Arc<Net>,
    /// What each connection is answered with.
    answer: watch::Sender<&'static str>,
    clusters: watch::Sender<Arc<Snapshot>>,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    manager: Manager,
    prober: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn new(doors: &[(u16, Door)], clusters: impl IntoIterator<Item = Cluster>) -> Self {
        let (net, mut peers) = Net::new(doors.iter().copied());
        let (answer, answers) = watch::channel(VERSION);
        tokio::spawn(async move {
            while let Some(peer) = peers.recv().await {
                let answer = *answers.borrow();
                tokio::spawn(async move { peer.play([answer; 9]).await });
            }
        });
        let snapshot = Arc::new(Snapshot::new(clusters));
        let (clusters, seen) = watch::channel(snapshot.clone());
        let board = Arc::new(HealthBoard::new());
        let (prober, health) = Prober::new(HealthConfig::default(), net.clone(), seen, board.clone());
        let manager = Manager::with_health(Config::default(), net.clone(), board);
        manager.apply(&snapshot);
        Self { net, answer, clusters, health, manager, prober: tokio::spawn(prober.run()) }
    }

    /// One cluster of one backend.
    fn single(door: Option<Door>) -> Self {
        let doors: Vec<_> = door.map(|door| (1, door)).into_iter().collect();
        Self::new(&doors, [cluster("alpha", &[1])])
    }

    fn backend(&self, cluster: usize, backend: usize) -> BackendHealth {
        self.health.borrow()[cluster].backends[backend].clone()
    }

    fn state(&self) -> (BackendState, Option<String>) {
        let backend = self.backend(0, 0);
        (backend.state, backend.error.map(|error| error.to_string()))
    }

    async fn request(&self) -> Result<Response<Body>, Error> {
        self.manager.cluster("alpha").unwrap().send(get("/")).await
    }

    fn dials(&self) -> usize {
        self.net.dialed().len()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_says_its_version_is_up() {
    let rig = Rig::single(None);
    assert_eq!(rig.state(), (BackendState::Unknown, None));
    seconds(1).await;
    assert_eq!(rig.state(), (BackendState::Up, None));
    assert_eq!(rig.backend(0, 0).latency, Some(Duration::ZERO));
    assert_eq!(rig.health.borrow()[0].version.as_deref(), Some("6.12.0"));
}

#[tokio::test(start_paused = true)]
async fn a_check_asks_for_the_version_without_credentials() {
    let (net, mut peers) = Net::new([]);
    let (_clusters, seen) = watch::channel(Arc::new(Snapshot::new([cluster("alpha", &[7])])));
    let (prober, _) = Prober::new(HealthConfig::default(), net, seen, Arc::default());
    let prober = tokio::spawn(prober.run());
    let (rest, close) = ("host: sensu.example.com:7\r\n", "connection: close\r\n");
    let via = "via: 1.1 _fedgate\r\n\r\n";
    // The first check asks for the cluster as well, and then one each minute.
    for check in 0..13 {
        let seen = peers.recv().await.unwrap().play([VERSION, HEALTH]).await;
        let expected: &[String] = if check % 12 == 0 {
            &[
                format!("GET /version HTTP/1.1\r\n{rest}{via}"),
                format!("GET /health?timeout=1 HTTP/1.1\r\n{rest}{close}{via}"),
            ]
        } else {
            &[format!("GET /version HTTP/1.1\r\n{rest}{close}{via}")]
        };
        assert_eq!(seen, expected, "{check}");
    }
    prober.abort();
}

/// A backend that is up, as its checks see it, after it was asked for its cluster.
async fn identified(script: &'static [&'static str]) -> BackendHealth {
    let (net, mut peers) = Net::new([]);
    let (_clusters, seen) = watch::channel(Arc::new(Snapshot::new([cluster("alpha", &[7])])));
    let (prober, mut health) = Prober::new(HealthConfig::default(), net, seen, Arc::default());
    let prober = tokio::spawn(prober.run());
    let peer = peers.recv().await.unwrap();
    let peer = tokio::spawn(async move {
        peer.play(script.iter().copied()).await;
        std::future::pending::<()>().await;
    });
    let checked = health.wait_for(|health| health[0].backends[0].state != BackendState::Unknown);
    let backend = checked.await.unwrap()[0].backends[0].clone();
    prober.abort();
    peer.abort();
    backend
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_tells_its_etcd_cluster_is_known_by_it_and_one_that_does_not_is_as_good() {
    assert_eq!(identified(&[VERSION, HEALTH]).await.etcd_cluster, Some(u64::MAX));
    for script in [
        &[VERSION, VERSION][..],
        &[VERSION],
        &[VERSION, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"],
        // No member answers.
        &[VERSION, "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"Header\":null}"],
        &[VERSION, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"Header\":{\"cluster_id\":   0}}"],
        &[VERSION, "HTTP/1.1 2"],
        &[VERSION, "SSH-2.0-OpenSSH\r\n\r\n"],
        // It does without keeping connections.
        &["HTTP/1.0 200 OK\r\n\r\n{\"sensu_backend\":\"6.12.0\"}\n"],
    ] {
        let backend = identified(script).await;
        if script.len() > 1 || script[0] == VERSION {
            assert_eq!((backend.state, backend.error), (BackendState::Up, None), "{script:?}");
            assert_eq!(backend.latency, Some(Duration::ZERO), "it is that of the version");
        }
        assert_eq!(backend.etcd_cluster, None, "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_in_a_few_words() {
    let closed =
        "unreachable: the connection was closed without an answer; is the port right, and http or https?";
    let timeout = "timeout: a firewall may drop its packets, or the backend hangs";
    let not_sensu = "not a Sensu API: is this the port of one, and http or https right?";
    for (door, error) in [
        (
            Door::Refuses,
            "unreachable: connection refused; nothing listens there: is the port right, and does the server run?",
        ),
        (Door::Swallows, timeout),
        (Door::Slams, closed),
    ] {
        let rig = Rig::single(Some(door));
        seconds(4).await;
        assert_eq!(rig.state(), (BackendState::Down, Some(error.to_owned())));
        assert_eq!(rig.health.borrow()[0].version, None);
    }
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", " ".repeat(20000));
    for (answer, error) in [
        (
            "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
            "http 500: the backend, or a proxy in front of it, fails: see its log",
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "http 301: something in front of it redirects: name the backend's own URL",
        ),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "http 400: is this a Sensu API port, and http right?"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "http 404: is this a Sensu API port?"),
        (
            "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
            "http 503: a proxy in front of it has no answer from the backend",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", not_sensu),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", not_sensu),
        ("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"sensu_backend\":1}", not_sensu),
        ("SSH-2.0-OpenSSH\r\n\r\n", not_sensu),
        (long.leak(), not_sensu),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", timeout),
        ("HTTP/1.1 2", timeout),
    ] {
        let rig = Rig::single(None);
        rig.answer.send_replace(answer);
        seconds(4).await;
        assert_eq!(rig.state(), (BackendState::Down, Some(error.to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_cannot_break_a_log_or_a_page() {
    let rig = Rig::single(None);
    let version = format!("6\\n{}", "x".repeat(1000));
    let body = format!("{{\"sensu_backend\":\"{version}\"}}");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    rig.answer.send_replace(answer.leak());
    seconds(1).await;
    let said = rig.health.borrow()[0].version.clone().unwrap();
    assert_eq!(&*said, format!("6{}", "x".repeat(63)));
}

#[tokio::test(start_paused = true)]
async fn three_failures_make_it_down_and_two_successes_up_again() {
    use BackendState::{Down, Up};
    let rig = Rig::single(None);
    let mut seen = Vec::new();
    let mut since = SystemTime::UNIX_EPOCH;
    seconds(1).await;
    for (door, state, changes) in [
        (None, Up, true),
        (Some(Door::Refuses), Up, false),
        (Some(Door::Refuses), Up, false),
        (Some(Door::Refuses), Down, true),
        (None, Down, false),
        (Some(Door::Refuses), Down, false),
        (None, Down, false),
        (None, Up, true),
    ] {
        rig.net.set(1, door);
        seconds(5).await;
        let now = rig.backend(0, 0);
        assert_eq!(now.state, state);
        assert_eq!(now.since > since, changes, "{now:?}");
        since = now.since;
        seen.push(now.error.is_some());
    }
    // An error is shown while it matters: until the next good check when it is up, until it is up when it is down.
    assert_eq!(seen, [false, true, true, true, true, true, true, false]);
    assert_eq!(rig.dials(), 9, "one each five seconds");
}

#[tokio::test(start_paused = true)]
async fn the_log_has_one_line_for_a_backend_that_changes_and_one_for_its_cluster() {
    let log = Capture::default();
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(log.clone()).finish());
    let rig = Rig::new(&[(1, Door::Refuses)], [cluster("alpha", &[1, 2])]);
    seconds(1).await;
    rig.net.set(2, Some(Door::Refuses));
    seconds(60).await;
    rig.net.set(1, None);
    seconds(60).await;
    rig.net.set(2, None);
    seconds(60).await;
    let (one, two) = ("backend=http://sensu.example.com:1", "backend=http://sensu.example.com:2");
    let down = "error=\"unreachable: connection refused; nothing listens there: is the port right, and does the server run?\"";
    let expected = [
        format!(" WARN a backend is down cluster=alpha {one} {down}"),
        format!(" WARN a backend is down cluster=alpha {two} {down}"),
        " WARN the cluster is down: no backend passes its health checks cluster=alpha".to_owned(),
        format!(" INFO a backend is up again cluster=alpha {one}"),
        " INFO the cluster is up again cluster=alpha".to_owned(),
        format!(" INFO a backend is up again cluster=alpha {two}"),
    ];
    assert_eq!(log.take().lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_backend_delays_no_other() {
    let hanging: Vec<u16> = (100..150).collect();
    let doors: Vec<_> = hanging.iter().map(|port| (*port, Door::Swallows)).collect();
    let rig = Rig::new(&doors, [cluster("alpha", &[1]), cluster("beta", &hanging)]);
    seconds(51).await;
    assert_eq!(rig.net.dialed().iter().filter(|port| **port == 1).count(), 11);
    assert_eq!(rig.state(), (BackendState::Up, None));
    assert_eq!(rig.backend(1, 0).state, BackendState::Down);
}

#[tokio::test(start_paused = true)]
async fn more_hanging_backends_than_may_be_checked_at_once_make_nobody_else_look_down() {
    let doors: Vec<_> = (1000..1600).map(|port| (port, Door::Swallows)).collect();
    let hanging = (0..12).map(|n| {
        let ports: Vec<u16> = (1000 + n * 50..1050 + n * 50).collect();
        cluster(&format!("beta-{n}"), &ports)
    });
    let rig = Rig::new(&doors, hanging.chain([cluster("alpha", &[1])]));
    seconds(30).await;
    assert_eq!(rig.state(), (BackendState::Up, None));
    assert_eq!(rig.backend(12, 49).state, BackendState::Down);
}

#[tokio::test(start_paused = true)]
async fn checks_are_spread_over_the_interval() {
    let clusters = (0..256).map(|n| cluster(&format!("c{n}"), &[1000 + n, 2000 + n]));
    let rig = Rig::new(&[], clusters);
    let mut counts = Vec::new();
    for _ in 0..50 {
        let before = rig.dials();
        tokio::time::sleep(Duration::from_millis(100)).await;
        counts.push(rig.dials() - before);
    }
    // One may come in the window's last millisecond.
    assert!(counts.iter().sum::<usize>() > 500, "{counts:?}");
    assert!(counts.iter().all(|count| *count < 50), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_checks_of_a_removed_cluster_end_at_once() {
    let (net, mut peers) = Net::new([]);
    let (clusters, seen) = watch::channel(Arc::new(Snapshot::new([cluster("alpha", &[1])])));
    let (prober, health) = Prober::new(HealthConfig::default(), net.clone(), seen, Arc::default());
    tokio::spawn(prober.run());
    let mut peer = peers.recv().await.unwrap();
    peer.request().await.unwrap();
    let start = Instant::now();
    clusters.send_replace(Arc::new(Snapshot::new([cluster("beta", &[2])])));
    assert_eq!(peer.request().await, None, "the check under way goes on");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(health.borrow()[0].name.as_str(), "beta");
    seconds(20).await;
    assert_eq!(net.dialed().iter().filter(|port| **port == 1).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_keeps_the_state_of_other_clusters_and_starts_over_with_other_certificates() {
    let rig = Rig::single(None);
    seconds(1).await;
    let mut alpha = cluster("alpha", &[2, 1]);
    rig.clusters.send_replace(Arc::new(Snapshot::new([alpha.clone()])));
    tokio::task::yield_now().await;
    let states = |rig: &Rig| [rig.backend(0, 0).state, rig.backend(0, 1).state];
    assert_eq!(states(&rig), [BackendState::Unknown, BackendState::Up]);
    for _ in 0..11 {
        seconds(1).await;
        assert_eq!(states(&rig), [BackendState::Up; 2]);
    }
    alpha.tls.insecure_skip_tls_verify = true;
    rig.clusters.send_replace(Arc::new(Snapshot::new([alpha])));
    tokio::task::yield_now().await;
    assert_eq!(states(&rig), [BackendState::Unknown; 2]);
    drop(rig.clusters);
    rig.prober.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_down_fails_at_once_and_is_used_again_after_one_good_check() {
    let rig = Rig::new(&[(1, Door::Swallows), (2, Door::Refuses)], [cluster("alpha", &[1, 2])]);
    seconds(4).await;
    let (start, dials) = (Instant::now(), rig.dials());
    let error = rig.request().await.unwrap_err();
    assert!(matches!(error, Error::Down { .. }), "{error:?}");
    assert_eq!((error.class().as_str(), error.reply().status), ("unreachable", StatusCode::BAD_GATEWAY));
    assert!(!error.to_string().contains("sensu.example.com"), "{error}");
    assert_eq!((start.elapsed(), rig.dials()), (Duration::ZERO, dials));

    rig.net.set(2, None);
    seconds(5).await;
    assert_eq!(rig.backend(0, 1).state, BackendState::Down, "two checks must pass");
    rig.request().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_has_the_same_class_whether_a_request_or_a_check_met_it_first() {
    for (door, class, status) in [
        (Door::Refuses, "unreachable", StatusCode::BAD_GATEWAY),
        (Door::Slams, "unreachable", StatusCode::BAD_GATEWAY),
        (Door::Swallows, "timeout", StatusCode::GATEWAY_TIMEOUT),
        (Door::Untrusted, "tls", StatusCode::BAD_GATEWAY),
    ] {
        let rig = Rig::new(&[(1, door), (2, door)], [cluster("alpha", &[1, 2])]);
        let met = rig.request().await.unwrap_err();
        assert!(!matches!(met, Error::Down { .. }));
        seconds(4).await;
        let known = rig.request().await.unwrap_err();
        assert!(matches!(known, Error::Down { .. }), "{known:?}");
        for error in [met, known] {
            assert_eq!((error.class().as_str(), error.reply().status), (class, status), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_is_tried_last() {
    let rig = Rig::new(&[(1, Door::Swallows)], [cluster("alpha", &[1, 2])]);
    seconds(4).await;
    let start = Instant::now();
    for _ in 0..20 {
        rig.request().await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    // The other one is gone too, and no check has noticed yet.
    rig.net.set(1, None);
    rig.net.set(2, Some(Door::Refuses));
    rig.manager.renew(|_| true);
    rig.request().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_is_not_renewed_runs_out() {
    let rig = Rig::single(Some(Door::Refuses));
    seconds(1).await;
    assert!(matches!(rig.request().await, Err(Error::Down { .. })));
    rig.prober.abort();
    rig.net.set(1, None);
    seconds(8).await;
    rig.request().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_still_go_to_backends_that_only_keep_their_version_to_themselves() {
    let rig = Rig::single(None);
    rig.answer.send_replace("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    seconds(1).await;
    assert_eq!(
        rig.state(),
        (
            BackendState::Down,
            Some(
                "http 403: something in front of it asks for a login, which Sensu's /version does not"
                    .to_owned()
            )
        )
    );
    assert_eq!(rig.request().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn a_good_check_ends_the_cool_down_of_a_worker() {
    let rig = Rig::single(None);
    seconds(1).await;
    rig.net.set(1, Some(Door::Refuses));
    for _ in 0..5 {
        assert!(matches!(rig.request().await, Err(Error::Connect { .. })));
    }
    assert!(matches!(rig.request().await, Err(Error::Open { .. })));
    for cool_down in [1, 2, 4] {
        seconds(cool_down).await;
        assert!(matches!(rig.request().await, Err(Error::Connect { .. })));
    }
    rig.net.set(1, None);
    // The next cool-down is eight seconds.
    assert!(matches!(rig.request().await, Err(Error::Open { .. })));
    seconds(5).await;
    rig.request().await.unwrap();
}
