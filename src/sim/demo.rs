//! Data to look at, and its life.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    events,
    json::{self, Object, text},
    kinds::{self, Kind},
    namespaces, seed as init, silenced,
    store::Store,
};

/// A check of the demo: name, command, interval, the role of the machines it runs on, and what it prints with each status:
/// when all is well, as a warning, and when it is critical.
struct Probe {
    name: &'static str,
    command: &'static str,
    interval: u32,
    role: &'static str,
    says: [&'static str; 3],
}

const ADMIN: &str = "admin";

const TEAMS: [&str; 6] = ["billing", "logistics", "media", "payments", "search", "shop"];
const SITES: [&str; 6] = ["ams", "fra", "gru", "iad", "nrt", "sin"];
const ROLES: [&str; 4] = ["web", "db", "cache", "router"];

const PROBES: [Probe; 8] = [
    Probe {
        name: "cpu",
        command: "check-cpu-usage -w 75 -c 90",
        interval: 30,
        role: "linux",
        says: [
            "check-cpu-usage OK: 23.4% CPU usage\n",
            "check-cpu-usage WARNING: 81.7% CPU usage\n",
            "check-cpu-usage CRITICAL: 96.1% CPU usage\n",
        ],
    },
    Probe {
        name: "disk",
        command: "check-disk-usage -w 80 -c 95",
        interval: 60,
        role: "linux",
        says: [
            "check-disk-usage OK: / 41% used\n",
            "check-disk-usage WARNING: /var 87% used\n",
            "check-disk-usage CRITICAL: /var 97% used\n",
        ],
    },
    Probe {
        name: "memory",
        command: "check-memory-usage -w 85 -c 95",
        interval: 30,
        role: "linux",
        says: [
            "check-memory-usage OK: 58.0% memory usage\n",
            "check-memory-usage WARNING: 88.7% memory usage\n",
            "check-memory-usage CRITICAL: 97.2% memory usage\n",
        ],
    },
    Probe {
        name: "ntp",
        command: "check-ntp -w 50ms -c 100ms",
        interval: 300,
        role: "linux",
        says: ["NTP OK: offset 0.4 ms\n", "NTP WARNING: offset 71 ms\n", "NTP CRITICAL: offset 312 ms\n"],
    },
    Probe {
        name: "http",
        command: "http-check --url https://localhost/health",
        interval: 15,
        role: "web",
        says: [
            "http-check OK: HTTP status 200 in 31 ms\n",
            "http-check WARNING: HTTP status 200 in 2140 ms\n",
            "http-check CRITICAL: HTTP status 503\n",
        ],
    },
    Probe {
        name: "certificate",
        command: "check-cert --warn 30 --critical 7",
        interval: 3600,
        role: "web",
        says: [
            "check-cert OK: expires in 61 days\n",
            "check-cert WARNING: expires in 19 days\n",
            "check-cert CRITICAL: expires in 3 days\n",
        ],
    },
    Probe {
        name: "postgres-replication",
        command: "check-postgres-replication -w 30s -c 120s",
        interval: 60,
        role: "db",
        says: [
            "replication lag 0.8 s\n",
            "WARNING: replication lag 47 s\n",
            "CRITICAL: replication lag 184 s\n",
        ],
    },
    Probe {
        name: "ping",
        command: "check-ping --host {{ .name }}",
        interval: 30,
        role: "router",
        says: [
            "PING OK: rta 1.9 ms, lost 0%\n",
            "PING WARNING: rta 212 ms, lost 20%\n",
            "PING CRITICAL: lost 100%\n",
        ],
    },
];

/// What an agent reports by default.
const KEEPALIVE: Probe = Probe {
    name: "keepalive",
    command: "",
    interval: 20,
    role: "linux",
    says: [
        "Keepalive last sent from the agent just now\n",
        "No keepalive sent from the agent for 125 seconds (>= 120)\n",
        "No keepalive sent from the agent for 412 seconds (>= 300)\n",
    ],
};

/// Fills a fresh cluster.
pub(super) fn seed(store: &mut Store, random: &mut Rng, now: i64) {
    let site = SITES[random.usize(..SITES.len())];
    let mut teams = TEAMS;
    random.shuffle(&mut teams);
    for namespace in [teams[0], teams[1]] {
        namespaces::create(store, namespace, ADMIN);
    }
    silence(store, "default", "linux", "ntp", "clock source is being replaced", now);
    silence(store, teams[0], &format!("entity:{site}-router-02"), "", "maintenance window", now);
    for (number, namespace) in (1..).zip(["default", teams[0], teams[1]]) {
        configure(store, namespace);
        for role in ROLES {
            let name = format!("{site}-{role}-{number:02}");
            entity(store, namespace, &name, role, now);
            for probe in PROBES.iter().chain([&KEEPALIVE]).filter(|p| runs_on(p, role)) {
                let status = if random.u8(..100) < 80 { 0 } else { random.u8(1..=2) };
                let age = random.i64(0..i64::from(probe.interval));
                result(store, namespace, &name, probe, status, now - age);
            }
        }
    }
    viewer(store);
}

/// Lets about a third of the events happen again.
pub(super) fn tick(store: &mut Store, random: &mut Rng, now: i64) {
    let keys: Vec<String> = store.keys(events::ROOT).map(ToOwned::to_owned).collect();
    for key in keys {
        if random.u8(..3) != 0 {
            continue;
        }
        let Some(event) = store.object(&key) else { continue };
        let part = |name: &str| event.get(name).and_then(Value::as_object);
        let (Some(check), Some(entity)) = (part("check"), part("entity")) else { continue };
        let name = text(check, &["metadata", "name"]).to_owned();
        let Some(probe) = PROBES.iter().chain([&KEEPALIVE]).find(|p| p.name == name) else { continue };
        let before = json::int(check, "status");
        let status = match random.u8(..100) {
            0..8 if before == 0 => random.u8(1..=2),
            0..30 if before != 0 => 0,
            _ => u8::try_from(before).unwrap_or_default(),
        };
        let namespace = text(entity, &["metadata", "namespace"]).to_owned();
        let entity = text(entity, &["metadata", "name"]).to_owned();
        result(store, &namespace, &entity, probe, status, now);
    }
}

fn runs_on(probe: &Probe, role: &str) -> bool {
    probe.role == role || (probe.role == "linux" && role != "router")
}

/// Checks and what handles their events.
fn configure(store: &mut Store, namespace: &str) {
    let mut put = |kind: &Kind, name: &str, mut value: Value| {
        value["metadata"] = json!({"name": name, "namespace": namespace, "created_by": ADMIN});
        init::put(store, kind, Some(namespace), &value);
    };
    for probe in &PROBES {
        let value = json!({
            "command": probe.command, "interval": probe.interval, "subscriptions": [probe.role],
            "publish": true, "handlers": ["slack"], "runtime_assets": ["sensu/system-check"], "timeout": 10,
            "pipelines": [{"name": "incident", "type": "Pipeline", "api_version": "core/v2"}],
        });
        put(&kinds::CHECKS, probe.name, value);
    }
    let asset = json!({
        "url": "https://assets.example.com/system-check_0.4.1_linux_amd64.tar.gz", "sha512": "0".repeat(128),
        "filters": ["entity.system.os == 'linux'", "entity.system.arch == 'amd64'"],
    });
    put(&kinds::ASSETS, "sensu/system-check", asset);
    let slack = json!({
        "type": "pipe", "command": "sensu-slack-handler --channel '#ops'", "timeout": 10,
        "filters": ["is_incident", "not_silenced", "state-change"],
        "secrets": [{"name": "SLACK_WEBHOOK_URL", "secret": "slack-webhook"}],
    });
    put(&kinds::HANDLERS, "slack", slack);
    let sink =
        json!({"type": "tcp", "socket": {"host": "192.0.2.40", "port": 4242}, "mutator": "only-output"});
    put(&kinds::HANDLERS, "archive", sink);
    put(&kinds::HANDLERS, "everyone", json!({"type": "set", "handlers": ["slack", "archive"]}));
    put(
        &kinds::FILTERS,
        "state-change",
        json!({"action": "allow", "expressions": ["event.check.occurrences == 1"]}),
    );
    put(
        &kinds::FILTERS,
        "office-hours",
        json!({"action": "allow", "expressions": ["hour(event.timestamp) >= 8", "hour(event.timestamp) < 18"]}),
    );
    let mutator = json!({"type": "javascript", "eval": "return JSON.stringify(event.check.output)"});
    put(&kinds::MUTATORS, "only-output", mutator);
    put(&kinds::HOOKS, "processes", json!({"command": "ps aux --sort=-%cpu | head -n 10", "timeout": 10}));
    let reference = |name: &str, kind: &str| json!({"name": name, "type": kind, "api_version": "core/v2"});
    let workflow = json!({
        "name": "page",
        "filters": [reference("is_incident", "EventFilter"), reference("state-change", "EventFilter")],
        "handler": reference("slack", "Handler"),
    });
    put(&kinds::PIPELINES, "incident", json!({"workflows": [workflow]}));
}

fn entity(store: &mut Store, namespace: &str, name: &str, role: &str, now: i64) {
    let own = format!("entity:{name}");
    let meta = json!({"name": name, "namespace": namespace, "labels": {"role": role, "owner": namespace}});
    let value = if role == "router" {
        json!({"metadata": meta, "entity_class": "proxy", "subscriptions": [role, own]})
    } else {
        json!({
            "metadata": meta, "entity_class": "agent", "subscriptions": ["linux", role, own],
            "last_seen": now, "user": "agent", "sensu_agent_version": "6.12.0",
            "redact": ["password", "api_key", "secret"],
            "system": {
                "hostname": name, "os": "linux", "platform": "debian", "platform_family": "debian",
                "platform_version": "12.5", "arch": "amd64", "libc_type": "glibc", "vm_system": "kvm",
                "vm_role": "guest",
                "network": {"interfaces": [
                    {"name": "lo", "addresses": ["127.0.0.1/8", "::1/128"]},
                    {"name": "eth0", "mac": "02:00:00:00:00:02", "addresses": ["192.0.2.17/24"]},
                ]},
            },
        })
    };
    init::put_key(store, &format!("/sensu.io/entity_configs/{namespace}/{name}"), &value);
}

fn result(store: &mut Store, namespace: &str, entity: &str, probe: &Probe, status: u8, at: i64) {
    let meta = |name: &str| json!({"name": name, "namespace": namespace, "created_by": "agent"});
    let value = json!({
        "timestamp": at,
        "metadata": {"namespace": namespace},
        "entity": {"metadata": {"name": entity, "namespace": namespace}, "entity_class": "proxy"},
        "check": {
            "metadata": meta(probe.name), "command": probe.command, "interval": probe.interval,
            "subscriptions": [probe.role], "handlers": ["slack"], "publish": true, "status": status,
            // A reader may have stored any status.
            "output": probe.says[usize::from(status.min(2))],
            "issued": at - 1, "executed": at, "duration": 0.018, "processed_by": entity, "timeout": 10,
        },
    });
    if let Ok(mut event) = kinds::EVENT.decode(&value) {
        mark_silenced(store, &mut event);
        events::store(store, event, at);
    }
}

/// Names the silences that match an event.
fn mark_silenced(store: &Store, event: &mut Object) {
    let (namespace, entity) = match event.get("entity").and_then(Value::as_object) {
        Some(entity) => (text(entity, &["metadata", "namespace"]), text(entity, &["metadata", "name"])),
        None => return,
    };
    let own = format!("entity:{entity}");
    let silences = store.objects(&format!("/sensu.io/silenced/{namespace}/")).unwrap_or_default();
    let Some(Value::Object(check)) = event.get("check") else { return };
    let matches = |silence: &&Object| {
        let (subscription, name) = (text(silence, &["subscription"]), text(silence, &["check"]));
        let subscribed = subscription.is_empty()
            || subscription == own
            || json::strings(check, "subscriptions").any(|s| s == subscription);
        subscribed && (name.is_empty() || name == text(check, &["metadata", "name"]))
    };
    let names: Vec<String> =
        silences.into_iter().filter(matches).map(|s| text(s, &["metadata", "name"]).to_owned()).collect();
    if let Some(Value::Object(check)) = event.get_mut("check") {
        check.insert("is_silenced".into(), (!names.is_empty()).into());
        check.insert("silenced".into(), names.into());
    }
}

fn silence(store: &mut Store, namespace: &str, subscription: &str, check: &str, reason: &str, now: i64) {
    let value = json!({
        "metadata": {"namespace": namespace}, "subscription": subscription, "check": check,
        "reason": reason, "expire": 14_400,
    });
    let Ok(mut silence) = kinds::SILENCED.decode(&value) else { return };
    if silenced::complete(&mut silence, ADMIN, now).is_ok() {
        let name = text(&silence, &["metadata", "name"]).to_owned();
        store.put(&format!("/sensu.io/silenced/{namespace}/{name}"), silence);
    }
}

/// A user who may look at everything and change nothing.
fn viewer(store: &mut Store) {
    let user = json!({"username": "viewer", "password": "P@ssw0rd!", "groups": ["viewers"]});
    init::put_key(store, "/sensu.io/users/viewer", &user);
    let binding = json!({
        "subjects": [{"type": "Group", "name": "viewers"}],
        "role_ref": {"type": "ClusterRole", "name": "view"},
        "metadata": {"name": "viewers", "created_by": ADMIN},
    });
    init::put(store, &kinds::CLUSTER_ROLE_BINDINGS, None, &binding);
}
