use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    fanout, listener,
    telemetry::{Format, Level},
    types::{ListScope, Source},
    webui,
};

const MINIMAL: &str = "\
listen: {address: '127.0.0.1:8080'}
auth:
  jwt-public-key-files: [/k.pem]
local-cluster:
  api-urls: ['https://a:8080']
";

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(text: &str) -> Root {
    parse(text, "f.yaml", &BTreeMap::new()).unwrap()
}

fn read_with(variables: &[(&str, &str)]) -> Root {
    parse(MINIMAL, "f.yaml", &env(variables)).unwrap()
}

/// The one line that is printed.
fn refused(text: &str) -> String {
    refused_with(text, &[])
}

fn refused_with(text: &str, variables: &[(&str, &str)]) -> String {
    let error = parse(text, "f.yaml", &env(variables)).expect_err(text).to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// The minimal configuration and, from line 6 on, more.
fn with(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

#[test]
fn what_is_not_written_has_its_default() {
    let root = read(MINIMAL);
    assert_eq!(root.fan_out, fanout::Config::default());
    assert_eq!(root.limits.request_body_bytes, 512_000);
    assert_eq!(root.listen.workers, 0);
    assert_eq!(listener::Config::default().address.to_string(), "[::]:8080");
    // A key or section without a value counts as not written.
    assert_eq!(read(&with("limits:\nlog: {level: }\n")), root);
}

#[test]
fn every_kind_of_value_is_read() {
    let root = read(&with(
        "fan-out: {default-scope: local, member-timeout: 250ms, buffer-bytes: 2MiB, max-member-bytes: 77}
log: {format: text, level: debug}
clusters:
- name: beta
  api-urls: [https://b1:8080, https://b2:8080]
  trusted-ca-file: /ca.pem
- {name: alpha, api-urls: ['http://[::1]:80'], cert-file: /c, key-file: /k, insecure-skip-tls-verify: true}
",
    ));
    assert_eq!(root.fan_out.default_scope, ListScope::Local);
    assert_eq!(root.fan_out.member_timeout, Duration::from_millis(250));
    assert_eq!(root.fan_out.buffer_bytes, 2 << 20);
    assert_eq!(root.fan_out.max_member_bytes, 77);
    assert_eq!((root.log.format, root.log.level), (Format::Text, Level::Debug));

    let snapshot = root.snapshot();
    let names: Vec<&str> = snapshot.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["local-cluster", "alpha", "beta"]);
    assert_eq!(snapshot.get("local-cluster").unwrap().source, Source::Local);
    let alpha = snapshot.get("alpha").unwrap();
    assert_eq!((alpha.source, alpha.tls.insecure_skip_tls_verify), (Source::Config, true));
    assert_eq!(snapshot.get("beta").unwrap().backends.len(), 2);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    assert_eq!(
        refused("auth: {}\nlisten:\n  adress: x\n"),
        "f.yaml:3: unknown key \"listen.adress\"; did you mean \"listen.address\"?"
    );
    assert_eq!(refused(&with("lisen: {}\n")), "f.yaml:6: unknown key \"lisen\"; did you mean \"listen\"?");
    assert_eq!(
        refused(&with("clusters:\n- name: a\n  api-url: []\n")),
        "f.yaml:8: unknown key \"clusters[0].api-url\"; did you mean \"clusters[].api-urls\"?"
    );
    // Under the wrong section.
    assert_eq!(
        refused(&with("drain: 3s\n")),
        "f.yaml:6: unknown key \"drain\"; did you mean \"shutdown.drain\"?"
    );
    let far_off = refused(&with("zzz: 3s\n"));
    assert!(far_off.starts_with("f.yaml:6: unknown key \"zzz\"; remove it"), "{far_off}");
    // A key can hold anything; the error stays one line.
    assert!(refused(&with("\"a\\nb\": 1\n")).contains("\"a\\nb\""));
}

#[test]
fn a_key_of_an_earlier_version_says_what_to_do() {
    let error = refused(&with("fan-out:\n  timeout: 12s\n"));
    assert!(error.starts_with("f.yaml:7: fan-out.timeout was removed: delete the line; "), "{error}");
    let env = [("FEDGATE_FAN_OUT__TIMEOUT".to_owned(), "12s".to_owned())].into();
    let error = parse(MINIMAL, "f.yaml", &env).unwrap_err().to_string();
    assert!(
        error.contains("FEDGATE_FAN_OUT__TIMEOUT") && error.contains(": fan-out.timeout was removed: "),
        "{error}"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_what_it_must_be() {
    for (more, error) in [
        ("log:\n  level: loud\n", "f.yaml:7: log.level: must be one of error, warn, info, debug, trace"),
        ("limits: {connections: many}\n", "f.yaml:6: limits.connections: must be a whole number, 0 or more"),
        ("limits: {connections: -1}\n", "f.yaml:6: limits.connections: must be a whole number, 0 or more"),
        ("limits: {streams: 4294967296}\n", "f.yaml:6: limits.streams: must be at most 4294967295"),
        ("shutdown: 30s\n", "f.yaml:6: shutdown: must be a section: its keys go below it, indented"),
        ("limits: {streams: {a: 1}}\n", "f.yaml:6: limits.streams: must be a whole number, 0 or more"),
        (
            "clusters:\n- name: 7\n  api-urls: []\n",
            "f.yaml:7: clusters[0].name: must be a text: put it in quotes",
        ),
        (
            "clusters:\n- name: a b\n  api-urls: []\n",
            "f.yaml:7: clusters[0].name: cluster name \"a b\" is not valid: use 1 to 253 of the characters A-Z \
             a-z 0-9 _ . -",
        ),
        ("clusters:\n- api-urls: []\n", "f.yaml:7: clusters[0]: the key \"name\" is missing: add it"),
        (
            "clusters: {name: a}\n",
            "f.yaml:6: clusters: must be a list, written [a, b] or one \"- item\" a line",
        ),
        (
            "clusters:\n- name: a\n  api-urls:\n  - https://ok\n  - https://u:hunter2@a\n",
            "f.yaml:10: clusters[0].api-urls[1]: must be only scheme, host and port: no path, query or user",
        ),
        (
            "admin: {address: ':80'}\n",
            "f.yaml:6: admin.address: must be an IP address and a port such as \
          \"127.0.0.1:8080\" or \"[::]:8080\"",
        ),
    ] {
        assert_eq!(refused(&with(more)), error);
    }
    for bad in ["10", "-1s", "1.5", "10 s", "1d", "[1s]", "{a: 1s}", "s", "99999999999999999999s", "true"] {
        let error = refused(&with(&format!("shutdown:\n  drain: {bad}\n")));
        assert!(error.starts_with("f.yaml:7: "), "{error}");
    }
    let error = refused(&with("limits: {head-bytes: 64kb}\n"));
    assert!(error.starts_with("f.yaml:6: limits.head-bytes: must be a size such as 64KiB"), "{error}");
}

#[test]
fn a_web_ui_comes_from_one_place() {
    assert_eq!(read(MINIMAL).web_ui, webui::Config::default());
    let dashboard = read(&with("web-ui: {upstream: 'https://a:3000'}\n")).web_ui.upstream.unwrap();
    assert_eq!(dashboard.to_string(), "https://a:3000");
    let directory = read_with(&[("FEDGATE_WEB_UI__DIRECTORY", "/usr/share/web")]).web_ui.directory.unwrap();
    assert_eq!(directory.to_str(), Some("/usr/share/web"));
    assert_eq!(
        refused(&with("web-ui:\n  directory: /x\n  upstream: http://a\n")),
        "f.yaml:8: web-ui.upstream: excludes web-ui.directory: the web UI comes from one of them"
    );
    assert_eq!(
        refused(&with("web-ui: {upstream: 'http://a/ui'}\n")),
        "f.yaml:6: web-ui.upstream: must be only scheme, host and port: no path, query or user"
    );
}

#[test]
fn broken_yaml_is_one_line_with_its_place() {
    let error = refused("listen: {address: x\nauth: [\n");
    assert!(error.starts_with("f.yaml:") && error.contains("not valid YAML"), "{error}");
    let twice = refused(&with("log: {}\nlog: {}\n"));
    assert_eq!(twice, "f.yaml:7: not valid YAML: duplicate mapping key `log` is not allowed here");
    assert!(refused("- a\n").contains("must be a section"));
    assert!(refused("a: 1\n---\nb: 2\n").contains("not valid YAML"));
    assert!(refused("").contains("auth.jwt-public-key-files: is missing"));
}

#[test]
fn values_that_cannot_work_are_refused() {
    let plain = MINIMAL.replace("127.0.0.1", "0.0.0.0");
    assert!(refused(&plain).starts_with("f.yaml:1: listen.address: plain HTTP is served on loopback only"));
    assert!(read(&plain.replace("8080'}", "8080', allow-plaintext: true}")).listen.allow_plaintext);
    assert!(read(&plain.replace("8080'}", "8080', cert-file: /c, key-file: /k}")).listen.tls().is_some());

    let ratio = |value: &str| with(&format!("tracing: {{sample-ratio: {value}}}\n"));
    for (value, is) in [("0", 0.0), ("0.25", 0.25), ("1", 1.0), ("1.0", 1.0)] {
        assert!((read(&ratio(value)).tracing.sample_ratio.get() - is).abs() < f64::EPSILON, "{value}");
    }
    for value in ["-0.1", "1.01", "2", "much", "-1"] {
        let said = refused(&ratio(value));
        assert!(said.starts_with("f.yaml:6: tracing.sample-ratio: must be a number from 0 to 1"), "{said}");
    }
    assert!(
        refused(&with("tracing: {otlp-endpoint: 'http://a:4318/v1'}\n")).contains("tracing.otlp-endpoint")
    );

    let outage = |value: &str| {
        let with_key = MINIMAL.replace("auth:\n", "auth:\n  jwt-private-key-file: /s.pem\n");
        with_key.replace("auth:\n", &format!("auth:\n  outage-sessions: {value}\n"))
    };
    assert_eq!(read(&outage("off")).auth.outage_sessions, None);
    assert_eq!(read(&outage("1h")).auth.outage_sessions, Some(Duration::from_secs(3600)));
    for value in ["59s", "13h"] {
        assert!(
            refused(&outage(value)).starts_with("f.yaml:3: auth.outage-sessions: must be off, or from 1m")
        );
    }
    let keyless = outage("1h").replace("  jwt-private-key-file: /s.pem\n", "");
    assert!(refused(&keyless).starts_with("f.yaml:3: auth.outage-sessions: needs auth.jwt-private-key-file"));

    let tls = |hsts: &str| {
        MINIMAL.replace("8080'}", &format!("8080', cert-file: /c, key-file: /k, hsts: {hsts}}}"))
    };
    assert_eq!(read(&tls("off")).listen.hsts, None);
    assert_eq!(read(&tls("8760h")).listen.hsts, Some(Duration::from_secs(8760 * 3600)));
    for hsts in ["0s", "999ms", "87601h"] {
        assert!(refused(&tls(hsts)).starts_with("f.yaml:1: listen.hsts: must be off, or from 1s to 87600h"));
    }
    assert!(
        refused(&tls("soon")).starts_with("f.yaml:1: listen.hsts: must be off, or a duration such as 1h")
    );
    let plain = MINIMAL.replace("8080'}", "8080', hsts: 1h}");
    assert!(refused(&plain).starts_with("f.yaml:1: listen.hsts: needs listen.cert-file"));

    for (more, error) in [
        (
            "fan-out: {timeout: 10s}\n",
            "f.yaml:6: fan-out.timeout was removed: delete the line; fan-out.member-timeout alone",
        ),
        ("fan-out:\n  max-members: 0\n", "f.yaml:7: fan-out.max-members: must be at least 1"),
        ("upstream: {head-timeout: 0s}\n", "f.yaml:6: upstream.head-timeout: must be more than zero"),
        (
            "upstream: {health: {interval: 50ms}}\n",
            "f.yaml:6: upstream.health.interval: must be at least 100ms",
        ),
        (
            "upstream: {health: {interval: 2s}}\n",
            "f.yaml:6: upstream.health.timeout: must be at most upstream.health.interval",
        ),
        (
            "upstream:\n  health:\n    healthy-after: 0\n",
            "f.yaml:8: upstream.health.healthy-after: must be at least 1",
        ),
        ("shutdown: {drain: 25h}\n", "f.yaml:6: shutdown.drain: must be at most 24h"),
        ("clusters: [{name: a, api-urls: []}]\n", "f.yaml:6: clusters[0].api-urls: is missing"),
        (
            "clusters:\n- name: local-cluster\n  api-urls: [http://a]\n",
            "f.yaml:7: clusters[0].name: \"local-cluster\" is reserved",
        ),
        (
            "clusters:\n- {name: a, api-urls: [http://a]}\n- {name: a, api-urls: [http://b]}\n",
            "f.yaml:8: clusters[1].name: another cluster is already called \"a\"",
        ),
        (
            "clusters: [{name: a, api-urls: [http://a, http://a/]}]\n",
            "f.yaml:6: clusters[0].api-urls[1]: is listed twice",
        ),
        (
            "clusters: [{name: a, api-urls: [http://a], key-file: /k}]\n",
            "f.yaml:6: clusters[0].key-file: needs cert-file",
        ),
        ("cors: {allowed-origins: ['*']}\n", "f.yaml:6: cors.allowed-origins[0]: must be an origin"),
        ("admin: {address: '127.0.0.1:8080'}\n", "f.yaml:6: admin.address: must differ from listen.address"),
        ("limits: {head-bytes: 4KiB}\n", "f.yaml:6: limits.head-bytes: must be at least 8KiB"),
    ] {
        let said = refused(&with(more));
        assert!(said.starts_with(error), "{said}");
    }
}

#[test]
fn the_environment_overrides_any_key() {
    let root = read_with(&[
        ("FEDGATE_LISTEN__ADDRESS", "[::1]:9000"),
        ("FEDGATE_AUTH__TOKEN_CACHE__ENTRIES", "5"),
        ("FEDGATE_AUTH__JWT_PUBLIC_KEY_FILES", "/a.pem, /b.pem"),
        ("FEDGATE_FAN_OUT__MEMBER_TIMEOUT", "3s"),
        ("FEDGATE_LISTEN__TRUSTED_PROXIES", "[10.0.0.0/8]"),
        ("FEDGATE_CLUSTERS", "[{name: alpha, api-urls: [https://alpha]}]"),
        ("FEDGATE_LOCAL_CLUSTER__TRUSTED_CA_FILE", ""),
    ]);
    assert_eq!(root.listen.address.to_string(), "[::1]:9000");
    assert_eq!(root.auth.token_cache.entries, 5);
    assert_eq!(root.auth.jwt_public_key_files.len(), 2);
    assert_eq!(root.fan_out.member_timeout, Duration::from_secs(3));
    assert_eq!(root.listen.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(root.clusters[0].name.as_str(), "alpha");
    assert_eq!(root.local_cluster.trusted_ca_file, None);
}

#[test]
fn every_known_key_can_be_set_by_a_variable() {
    for key in known_keys().iter().filter(|key| !key.contains('[')) {
        let name = format!("FEDGATE_{}", key.replace('.', "__").replace('-', "_").to_uppercase());
        // No key takes this value, so whoever reads the variable complains with its name and the key.
        let error = refused_with(MINIMAL, &[(&name, "{a: {b: 1}}")]);
        assert!(error.contains(&name) && error.contains(key.as_str()), "{error}");
    }
}

#[test]
fn a_wrong_variable_is_named_with_what_to_do() {
    for (name, value, error) in [
        (
            "FEDGATE_LISTEN__ADRESS",
            "x",
            "environment variable FEDGATE_LISTEN__ADRESS sets no known key; did you mean \"FEDGATE_LISTEN__ADDRESS\"?",
        ),
        (
            "FEDGATE_LISTEN_ADDRESS",
            "x",
            "environment variable FEDGATE_LISTEN_ADDRESS sets no known key; did you mean \"FEDGATE_LISTEN__ADDRESS\"?",
        ),
        (
            "FEDGATE_LOG__LEVEL",
            "loud",
            "environment variable FEDGATE_LOG__LEVEL: log.level: must be one of error, warn, info, debug, trace",
        ),
        (
            "FEDGATE_LIMITS__STREAMS",
            "0",
            "environment variable FEDGATE_LIMITS__STREAMS: limits.streams: must be at least 1",
        ),
    ] {
        assert_eq!(refused_with(MINIMAL, &[(name, value)]), error);
    }
    // A mistake in the file is not hidden by a variable for a key below it.
    let error = refused_with(&with("log: 5\n"), &[("FEDGATE_LOG__LEVEL", "info")]);
    assert!(error.starts_with("f.yaml:6: log: must be a section"), "{error}");
    assert!(refused_with(MINIMAL, &[("FEDGATE_LISTEN", "{}")]).contains("FEDGATE_LISTEN sets no known key"));
    assert!(
        refused_with(MINIMAL, &[("FEDGATE_CLUSTERS", "[{")]).contains("FEDGATE_CLUSTERS: not valid YAML")
    );
}

#[test]
fn other_variables_are_left_alone() {
    let root = read_with(&[
        ("FEDGATE_PASSWORD", "x"),
        ("FEDGATE_URL", "https://x"),
        ("FEDGATE_CONFIG", "/x"),
        ("FEDGATE_API_KEY", "x"),
        ("FEDGATE_USER", "x"),
        ("FEDGATE_TRUSTED_CA_FILE", "/x"),
        ("FEDGATE_TEST_A__B", "1"),
        ("FEDGATE_SERVICE_HOST", "10.0.0.1"),
        ("FEDGATE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("FEDGATE_ADMIN_PORT", "tcp://10.0.0.1:9180"),
        ("LISTEN__ADDRESS", "x"),
    ]);
    assert_eq!(root, read(MINIMAL));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let load = |path: &str| load(std::path::Path::new(path), &BTreeMap::new()).unwrap_err().to_string();
    let error = load("/nonexistent/f.yaml");
    assert!(error.starts_with("there is no /nonexistent/f.yaml: write it, for example {listen: "), "{error}");
    assert!(error.contains("or name another file with --config"), "{error}");
    // Neither a directory nor an endless file is a configuration.
    for other in ["/", "/dev/zero"] {
        let error = load(other);
        assert!(error.starts_with(&format!("cannot read {other}: ")), "{error}");
        assert!(error.ends_with("name another file with --config"), "{error}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_read_in_time_is_given_up() {
    // A pipe that nobody writes to, as a file system that hangs.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fedgate.yaml");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let error = load_in_time(&path, &BTreeMap::new()).await.unwrap_err().to_string();
    // The thread that waits is let go.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&path));
    assert!(error.ends_with("the file system does not answer: is it a mount that hangs?"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_its_error_two_lines(
        text in "(?s).{0,100}|[a-z:{}\\[\\], \n\"'&*|>#?-]{0,80}|(listen|log|clusters|auth): ?[a-z:{}\\[\\], \n-]{0,60}",
    ) {
        if let Err(error) = parse(&text, "f.yaml", &BTreeMap::new()) {
            proptest::prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
