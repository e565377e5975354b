//! What types alone cannot say: bounds, and values that depend on one another.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use super::{ConfigError, Root, node::Node};
use crate::types::Backend;

/// Refuses the first value that cannot work.
pub(super) fn check(root: &Root, document: &Node) -> Result<(), ConfigError> {
    let rules = [auth, clusters, stores, listeners, durations, counts, web_ui, cors];
    rules.iter().try_for_each(|rule| rule(root)).map_err(|Broken { key, what }| {
        let place = document.place_of(&key).clone();
        ConfigError::Value { place, key, what }
    })
}

/// A key, and what is wrong with its value.
struct Broken {
    key: String,
    what: String,
}

type Verdict = Result<(), Broken>;

fn listeners(root: &Root) -> Verdict {
    let listen = &root.listen;
    both("listen", listen.cert_file.as_ref(), listen.key_file.as_ref())?;
    let loopback = listen.address.ip().to_canonical().is_loopback();
    if listen.cert_file.is_none() && !loopback && !listen.allow_plaintext {
        return broken(
            "listen.address",
            "plain HTTP is served on loopback only: set listen.cert-file and listen.key-file, listen on \
             127.0.0.1, or set listen.allow-plaintext: true behind something that terminates TLS",
        );
    }
    if let Some(max_age) = listen.hsts {
        if listen.cert_file.is_none() {
            return broken(
                "listen.hsts",
                "needs listen.cert-file and listen.key-file: behind something that terminates TLS, that has to send \
                 Strict-Transport-Security",
            );
        }
        if !(MIN_HSTS..=MAX_HSTS).contains(&max_age) {
            return broken("listen.hsts", "must be off, or from 1s to 87600h");
        }
    }
    if listen.workers > MAX_WORKERS {
        return broken("listen.workers", &format!("must be at most {MAX_WORKERS}; 0 is one per core"));
    }
    if listen.address == root.admin.address && listen.address.port() != 0 {
        return broken("admin.address", "must differ from listen.address");
    }
    Ok(())
}

fn auth(root: &Root) -> Verdict {
    if root.auth.jwt_public_key_files.is_empty() {
        return broken(
            "auth.jwt-public-key-files",
            "is missing: list the public key of the pair that every backend signs its tokens with, such as \
             [/etc/sensu/certs/jwt_public.pem]",
        );
    }
    if let Some(longest) = root.auth.outage_sessions {
        if root.auth.jwt_private_key_file.is_none() {
            return broken(
                "auth.outage-sessions",
                "needs auth.jwt-private-key-file: renewed tokens have to be signed",
            );
        }
        if !(MIN_OUTAGE..=MAX_OUTAGE).contains(&longest) {
            return broken("auth.outage-sessions", "must be off, or from 1m to 12h");
        }
    }
    match root.auth.admin_groups.iter().position(String::is_empty) {
        Some(index) => broken(&format!("auth.admin-groups[{index}]"), "must name a group"),
        None => Ok(()),
    }
}

fn clusters(root: &Root) -> Verdict {
    let local = &root.local_cluster;
    urls("local-cluster", &local.api_urls)?;
    both("local-cluster", local.cert_file.as_ref(), local.key_file.as_ref())?;
    let mut names = HashSet::new();
    for (index, cluster) in root.clusters.iter().enumerate() {
        let section = format!("clusters[{index}]");
        if cluster.name.is_local() {
            return broken(
                &format!("{section}.name"),
                "\"local-cluster\" is reserved for the section local-cluster: choose another name",
            );
        }
        if !names.insert(&cluster.name) {
            return broken(
                &format!("{section}.name"),
                &format!("another cluster is already called {:?}: names must differ", cluster.name.as_str()),
            );
        }
        urls(&section, &cluster.api_urls)?;
        both(&section, cluster.cert_file.as_ref(), cluster.key_file.as_ref())?;
    }
    Ok(())
}

fn stores(root: &Root) -> Verdict {
    let (embedded, etcd, source) = (&root.store.embedded, &root.store.etcd, &root.replication.source);
    both("store.etcd", etcd.cert_file.as_ref(), etcd.key_file.as_ref())?;
    both("replication.source", source.cert_file.as_ref(), source.key_file.as_ref())?;
    distinct("store.etcd.endpoints", &etcd.endpoints)?;
    distinct("replication.source.endpoints", &source.endpoints)?;
    if etcd.endpoints.is_empty() && embedded.path.file_name().is_none() {
        return broken("store.embedded.path", "must name a file, such as /var/lib/fedgate/registry.redb");
    }
    let plain = |c: char| c.is_ascii_graphic();
    if !etcd.prefix.starts_with('/') || !etcd.prefix.ends_with('/') || !etcd.prefix.chars().all(plain) {
        return broken("store.etcd.prefix", "must begin and end with /, such as /fedgate/");
    }
    if etcd.prefix == "/" || etcd.prefix.starts_with("/sensu.io/") {
        return broken("store.etcd.prefix", "must leave Sensu's own keys alone: use /fedgate/");
    }
    Ok(())
}

fn durations(root: &Root) -> Verdict {
    let (fan_out, upstream) = (&root.fan_out, &root.upstream);
    for (key, value) in [
        ("fan-out.member-timeout", fan_out.member_timeout),
        ("upstream.connect-timeout", upstream.connect_timeout),
        ("upstream.head-timeout", upstream.head_timeout),
        ("upstream.idle-body-timeout", upstream.idle_body_timeout),
        ("upstream.idle-connection-timeout", upstream.idle_connection_timeout),
        ("upstream.health.interval", upstream.health.interval),
        ("upstream.health.timeout", upstream.health.timeout),
        ("limits.head-timeout", root.limits.head_timeout),
        ("listen.keep-alive", root.listen.keep_alive),
        ("auth.api-key-ttl", root.auth.api_key_ttl),
    ] {
        if value.is_zero() {
            return broken(key, "must be more than zero");
        }
        longest(key, value)?;
    }
    longest("shutdown.announce", root.shutdown.announce)?;
    longest("shutdown.drain", root.shutdown.drain)?;
    if upstream.health.interval < MIN_CHECK_INTERVAL {
        return broken("upstream.health.interval", "must be at least 100ms");
    }
    if upstream.health.timeout > upstream.health.interval {
        return broken(
            "upstream.health.timeout",
            "must be at most upstream.health.interval: checks of one backend do not overlap",
        );
    }
    Ok(())
}

fn counts(root: &Root) -> Verdict {
    let (fan_out, limits) = (&root.fan_out, &root.limits);
    for (key, zero) in [
        ("fan-out.buffer-bytes", fan_out.buffer_bytes == 0),
        ("fan-out.max-member-bytes", fan_out.max_member_bytes == 0),
        ("fan-out.max-members", fan_out.max_members == 0),
        ("upstream.max-idle-connections", root.upstream.max_idle_connections == 0),
        ("upstream.health.unhealthy-after", root.upstream.health.unhealthy_after == 0),
        ("upstream.health.healthy-after", root.upstream.health.healthy_after == 0),
        ("limits.connections", limits.connections == 0),
        ("limits.streams", limits.streams == 0),
        ("limits.headers", limits.headers == 0),
        ("limits.request-body-bytes", limits.request_body_bytes == 0),
        ("limits.fan-outs", limits.fan_outs == 0),
    ] {
        if zero {
            return broken(key, "must be at least 1");
        }
    }
    if limits.head_bytes < MIN_HEAD_BYTES {
        return broken("limits.head-bytes", "must be at least 8KiB: a token alone can have 4KiB");
    }
    if root.upstream.retries > MAX_RETRIES {
        return broken("upstream.retries", &format!("must be at most {MAX_RETRIES}"));
    }
    Ok(())
}

fn web_ui(root: &Root) -> Verdict {
    if root.web_ui.directory.is_some() && root.web_ui.upstream.is_some() {
        return broken("web-ui.upstream", "excludes web-ui.directory: the web UI comes from one of them");
    }
    Ok(())
}

fn cors(root: &Root) -> Verdict {
    for (index, origin) in root.cors.allowed_origins.iter().enumerate() {
        if origin.ends_with('/') || origin.parse::<Backend>().is_err() {
            return broken(
                &format!("cors.allowed-origins[{index}]"),
                "must be an origin as browsers write it, such as https://dashboard.example.com",
            );
        }
    }
    Ok(())
}

fn both(section: &str, cert_file: Option<&PathBuf>, key_file: Option<&PathBuf>) -> Verdict {
    match (cert_file, key_file) {
        (Some(_), None) => broken(&format!("{section}.cert-file"), "needs key-file next to it"),
        (None, Some(_)) => broken(&format!("{section}.key-file"), "needs cert-file next to it"),
        _ => Ok(()),
    }
}

fn urls(section: &str, urls: &[Backend]) -> Verdict {
    let key = format!("{section}.api-urls");
    if urls.is_empty() {
        return broken(
            &key,
            "is missing: list the URL of every backend of the cluster, such as \
             [\"https://sensu.example.com:8080\"]",
        );
    }
    distinct(&key, urls)
}

fn distinct(key: &str, urls: &[Backend]) -> Verdict {
    if urls.len() > MAX_URLS {
        return broken(key, &format!("must have at most {MAX_URLS} URLs"));
    }
    let mut seen = HashSet::new();
    match urls.iter().position(|url| !seen.insert(url)) {
        Some(index) => broken(&format!("{key}[{index}]"), "is listed twice: remove one"),
        None => Ok(()),
    }
}

fn longest(key: &str, value: Duration) -> Verdict {
    if value > MAX_DURATION { broken(key, "must be at most 24h") } else { Ok(()) }
}

fn broken(key: &str, what: &str) -> Verdict {
    Err(Broken { key: key.to_owned(), what: what.to_owned() })
}

/// Most backends of one cluster.
const MAX_URLS: usize = 64;

/// Below the time between two renewals by Sensu's clients, hardly any session would be renewed.
const MIN_OUTAGE: Duration = Duration::from_secs(60);

/// As long as Sensu's own refresh tokens are valid.
const MAX_OUTAGE: Duration = Duration::from_secs(12 * 3600);

/// The shortest that browsers count in.
const MIN_HSTS: Duration = Duration::from_secs(1);

/// Ten years: longer than any browser needs.
const MAX_HSTS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// More threads than any machine has cores is a typing error.
const MAX_WORKERS: usize = 1024;

/// A request that fails this often will fail again.
const MAX_RETRIES: usize = 10;

/// Checks that come faster are load, not knowledge.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The smallest head that fits a token of a user with many groups.
const MIN_HEAD_BYTES: usize = 8 << 10;

/// Keeps sums of durations far from overflow; nothing here is meant to last a day.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
