//! The binary as a user meets it: exit codes, one-line errors and the demo. The commands in Markdown files are checked in
//! `tests/docs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

const FEDGATE: &str = env!("CARGO_BIN_EXE_fedgate");

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that does not outlive its test.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        Self::start_with(args, Stdio::null())
    }

    fn start_with(args: &[&str], stdin: Stdio) -> Self {
        Self::start_in(args, stdin, None)
    }

    fn start_in(args: &[&str], stdin: Stdio, variable: Option<(&str, &str)>) -> Self {
        let mut child = Command::new(FEDGATE)
            .args(args)
            .env_clear()
            .env("TMPDIR", std::env::temp_dir())
            .envs(variable)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        for pipe in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// Collects output up to the line that contains `text`.
    fn until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = line.contains(text);
                    seen.push(line);
                    if found {
                        return seen;
                    }
                }
                Err(error) => panic!("{text:?} did not come ({error}); there was: {seen:#?}"),
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(sent.unwrap().success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(FEDGATE).args(args).env_clear().output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn shell(script: &str, directory: &Path) -> Output {
    Command::new("sh").args(["-euc", script]).current_dir(directory).output().unwrap()
}

/// A configuration in a directory of its own, with a real key.
fn configuration(directory: &Path, extra: &str) -> String {
    let key = fedgate::sim::SharedKeys::generate().unwrap().public_pem();
    fs::write(directory.join("jwt.pem"), key).unwrap();
    let text = format!(
        "auth: {{ jwt-public-key-files: [{dir}/jwt.pem] }}\n\
         local-cluster: {{ api-urls: [\"http://127.0.0.1:1\"] }}\n\
         store: {{ embedded: {{ path: {dir}/registry.redb }} }}\n\
         admin: {{ address: 127.0.0.1:0 }}\n{extra}",
        dir = directory.display()
    );
    let path = directory.join("fedgate.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn mistakes_end_with_one_line_and_the_code_that_scripts_expect() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = configuration(directory.path(), &format!("listen: {{ address: 127.0.0.1:{port} }}\n"));
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let free = fs::read_to_string(&config).unwrap().replace(&port.to_string(), "0");
    let admin = write(
        "admin.yaml",
        &free.replace("admin: { address: 127.0.0.1:0", &format!("admin: {{ address: 127.0.0.1:{port}")),
    );
    let place = format!("{}/registry.redb", directory.path().display());
    let registry = write("registry.yaml", &free.replace(&place, &directory.path().display().to_string()));
    let below_a_file = write("below.yaml", &free.replace("/registry.redb", "/jwt.pem/registry.redb"));
    let unknown = write("unknown.yaml", "listen:\n  adress: 127.0.0.1:0\n");
    let bad_key = write("bad.pem", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n");
    let key = write(
        "key.yaml",
        &format!(
            "listen: {{ address: 127.0.0.1:0 }}\nauth: {{ jwt-public-key-files: [{bad_key}] }}\n\
             local-cluster: {{ api-urls: [\"http://127.0.0.1:1\"] }}\n"
        ),
    );
    let no_cluster =
        write("none.yaml", "auth: { jwt-public-key-files: [/x] }\nlisten: { address: 127.0.0.1:0 }\n");
    let ca = configuration(
        &{
            let inner = directory.path().join("ca");
            fs::create_dir(&inner).unwrap();
            inner
        },
        "listen: { address: 127.0.0.1:0 }\nclusters: [{ name: alpha, api-urls: [\"https://a\"], trusted-ca-file: /nowhere/ca.pem }]\n",
    );
    let web = configuration(
        &{
            let inner = directory.path().join("web");
            fs::create_dir(&inner).unwrap();
            inner
        },
        "listen: { address: 127.0.0.1:0 }\nweb-ui: { directory: /nowhere/app }\n",
    );
    for (args, code, mention) in [
        (vec!["serve", "--config", "/nowhere/fedgate.yaml"], 78, "/nowhere/fedgate.yaml"),
        (vec!["serve", "--config", &unknown], 78, "did you mean \"listen.address\"?"),
        (vec!["serve", "--config", &key], 78, "bad.pem"),
        (vec!["serve", "--config", &no_cluster], 78, "local-cluster"),
        (vec!["serve", "--config", &ca], 78, "/nowhere/ca.pem"),
        (vec!["serve", "--config", &web], 78, "web-ui.directory: cannot read /nowhere/app"),
        (vec!["serve", "--config", &config], 69, "listen.address: cannot listen on "),
        (vec!["serve", "--config", &config], 69, "stop the other process or choose another port"),
        (vec!["serve", "--config", &admin], 69, "admin.address: cannot listen on "),
        (vec!["serve", "--config", "/nowhere/fedgate.yaml"], 78, "write it, for example {listen: "),
        (vec!["serve", "--config", &registry], 78, "it is not a regular file"),
        (vec!["serve", "--config", &below_a_file], 78, "Not a directory (os error 20); what the path names"),
        (vec!["health", "--url", "http://127.0.0.1:1"], 69, "127.0.0.1:1"),
        (vec!["health", "--url", "ftp://x"], 64, "http://host:port"),
    ] {
        let (got, stderr) = run(&args);
        assert_eq!(got, Some(code), "{args:?}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("fedgate: ") && last.contains(mention), "{args:?}: {stderr}");
    }
    assert_eq!(run(&["sreve"]).0, Some(64));
    assert_eq!(run(&["serve", "--nonsense"]).0, Some(64));
    assert_eq!(run(&["--help"]).0, Some(0));
}

#[test]
fn check_config_says_for_each_thing_whether_it_works() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(
        directory.path(),
        "listen: { address: 127.0.0.1:0 }\nweb-ui: { upstream: \"http://127.0.0.1:1\" }\n",
    );
    let Output { status, stdout, .. } =
        Command::new(FEDGATE).args(["check-config", "--config", &config]).env_clear().output().unwrap();
    let table = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(1), "{table}");
    assert!(table.lines().any(|line| line.starts_with("works  public key")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("FAILS  cluster local-cluster")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("FAILS  web UI http://127.0.0.1:1")), "{table}");
    let registry = format!("works  registry {}", directory.path().join("registry.redb").display());
    assert!(
        table.lines().any(|line| line.starts_with(&registry) && line.ends_with("will be created")),
        "{table}"
    );
    assert!(!directory.path().join("registry.redb").exists(), "a check creates nothing");

    fs::write(directory.path().join("registry.redb"), "notes").unwrap();
    let Output { stdout, .. } =
        Command::new(FEDGATE).args(["check-config", "--config", &config]).env_clear().output().unwrap();
    let table = String::from_utf8(stdout).unwrap();
    let row = table.lines().find(|line| line.contains("registry ")).unwrap();
    assert!(row.starts_with("FAILS  registry ") && row.contains("it is not a registry"), "{row}");
}

#[test]
fn check_config_says_until_when_certificates_are_valid_and_which_it_leaves_out() {
    let directory = tempfile::tempdir().unwrap();
    let issued = |year| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["gw".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = issued(2001);
    let (cert, key) = (write("cert.pem", &cert), write("key.pem", &key));
    let bad = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let ca = write("ca.pem", &format!("{}{bad}{}", issued(2101).0, issued(2001).0));
    let text = configuration(
        directory.path(),
        &format!("listen: {{ address: 127.0.0.1:0, cert-file: {cert}, key-file: {key} }}\n"),
    );
    let config = fs::read_to_string(&text).unwrap().replace("http://", "https://");
    let config = config.replace("{ api-urls", &format!("{{ trusted-ca-file: {ca}, api-urls"));
    let config = write("tls.yaml", &config);
    let Output { stdout, .. } =
        Command::new(FEDGATE).args(["check-config", "--config", &config]).env_clear().output().unwrap();
    let table = String::from_utf8(stdout).unwrap();
    for (begin, end) in [
        (format!("FAILS  expiry {cert} "), "expired on 2001-01-01T00:00:00Z: renew it"),
        (format!("works  expiry {ca} "), "valid until 2101-01-01T00:00:00Z"),
        (format!("works  expiry {ca} "), "expired on 2001-01-01T00:00:00Z: remove it"),
        (format!("works  CA bundle {ca} "), "certificate 2: a block is not base64"),
    ] {
        assert!(table.lines().any(|line| line.starts_with(&begin) && line.ends_with(end)), "{table}");
    }
}

#[test]
fn nobody_has_to_read_what_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\nlog: { format: text }\n");
    let closed = || -> Stdio {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    };
    let start = |args: &[&str]| {
        Command::new(FEDGATE).args(args).env_clear().stdout(closed()).stderr(closed()).spawn().unwrap()
    };
    let check = start(&["check-config", "--config", &config]).wait().unwrap();
    assert_eq!(check.code(), Some(1));
    assert_eq!(start(&["serve", "--config", "/nowhere"]).wait().unwrap().code(), Some(78));

    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let with_port = fs::read_to_string(&config).unwrap().replace("admin: { address: 127.0.0.1:0 }", "");
    fs::write(&config, format!("{with_port}admin: {{ address: 127.0.0.1:{port} }}\n")).unwrap();
    let mut gateway = start(&["serve", "--config", &config]);
    let health = format!("http://127.0.0.1:{port}");
    while run(&["health", "--url", &health]).0 != Some(0) {
        assert_eq!(gateway.try_wait().unwrap(), None, "the gateway runs on");
    }
    assert!(Command::new("kill").args(["-TERM", &gateway.id().to_string()]).status().unwrap().success());
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}

#[test]
fn serve_is_ready_though_no_cluster_is_up_and_stops_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\nlog: { format: text }\n");
    let mut gateway = Running::start(&["serve", "--config", &config]);
    let listening = gateway.until("listening").pop().unwrap();
    let admin = listening.split("admin=").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(run(&["health", "--url", &format!("http://{admin}")]).0, Some(0));
    gateway.signal("TERM");
    gateway.until("stopped");
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_changed_web_ui_is_served_without_a_restart_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let web = directory.path().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("index.html"), "one").unwrap();
    let extra = format!(
        "listen: {{ address: 127.0.0.1:0 }}\nlog: {{ format: text }}\nweb-ui: {{ directory: {} }}\n",
        web.display()
    );
    let config = configuration(directory.path(), &extra);
    let mut gateway = Running::start(&["serve", "--config", &config]);
    let listening = gateway.until("listening").pop().unwrap();
    let main = listening.split("main=").nth(1).unwrap().split_whitespace().next().unwrap();
    let page = || {
        let Output { stdout, .. } =
            Command::new("curl").args(["-sS", &format!("http://{main}/")]).output().unwrap();
        String::from_utf8(stdout).unwrap()
    };
    assert_eq!(page(), "one");
    fs::write(web.join("index.html"), "the second").unwrap();
    gateway.signal("HUP");
    gateway.until("were read again");
    assert_eq!(page(), "the second");
    fs::remove_file(web.join("index.html")).unwrap();
    gateway.signal("HUP");
    let complaint = gateway.until("nothing was changed").pop().unwrap();
    assert!(complaint.contains("has no index.html"), "{complaint}");
    assert_eq!(page(), "the second");
    gateway.signal("TERM");
    gateway.until("stopped");
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_reload_that_failed_for_a_missing_file_is_done_once_the_file_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("web");
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\n");
    let gateway = Running::start(&["serve", "--config", &config]);
    gateway.until("listening");
    // The directory is one of those things that are watched only once they have been read.
    configuration(
        directory.path(),
        &format!("listen: {{ address: 127.0.0.1:0 }}\nweb-ui: {{ directory: {} }}\n", other.display()),
    );
    gateway.signal("HUP");
    gateway.until("nothing was changed");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("index.html"), "<html></html>").unwrap();
    gateway.until("were read again");
}

/// What the demo printed, as commands that begin with one of these words.
fn commands<'a>(printed: &'a [String], words: &[&str]) -> Vec<&'a str> {
    let lines = printed.iter().map(|line| line.trim());
    lines.filter(|line| words.iter().any(|word| line.starts_with(word))).collect()
}

fn printed<'a>(lines: &'a [String], word: &str) -> &'a str {
    let value = lines.iter().find_map(|line| line.trim().strip_prefix(word));
    value.expect("the demo prints it").trim()
}

#[test]
fn the_demo_runs_the_commands_that_it_prints_and_ends_on_ctrl_c() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Running::start(&["demo", "--port", "0"]);
    let lines = demo.until("Ctrl-C ends it");
    let script = commands(&lines, &["export FEDGATE_PASSWORD", FEDGATE, "TOKEN=", "curl "]);
    assert_eq!(script.len(), 7, "{lines:#?}");
    let script: Vec<String> = script
        .iter()
        .enumerate()
        .map(|(index, command)| {
            if command.contains("--url") || command.starts_with("curl") {
                format!("{command} > answer{index}")
            } else {
                (*command).to_owned()
            }
        })
        .collect();
    let Output { status, stderr, .. } = shell(&script.join("\n"), directory.path());
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));

    let read = |index: usize| fs::read_to_string(directory.path().join(format!("answer{index}"))).unwrap();
    for cluster in ["local-cluster", "alpha", "beta"] {
        assert!(read(1).contains(cluster), "{cluster} is in the state: {}", read(1));
        let of_cluster =
            read(2).lines().filter(|line| line.split_whitespace().any(|word| word == cluster)).count();
        assert!(of_cluster > 5, "events of {cluster}: {}", read(2));
    }
    assert!(read(3).contains("alpha"), "{}", read(3));
    assert!(read(5).contains("fedgate-complete: true"));
    let of_alpha: Vec<serde_json::Value> = serde_json::from_str(&read(6)).unwrap();
    assert_eq!(of_alpha.len(), 1);
    assert_eq!(of_alpha[0]["entity"]["metadata"]["namespace"], "default@alpha");
    assert!(read(6).len() < 10_000, "nobody wants to read a hundred kilobytes");

    // What sensuctl is told to write goes away with the demo.
    let sensuctl = commands(&lines, &["export SENSU_CONFIG_DIR="])[0];
    assert!(sensuctl.contains("/fedgate-demo-"), "{sensuctl}");
    // The first thing to do is to look at it, which also the gateway's own URL leads to.
    let mut said = lines.iter().filter(|line| !line.is_empty() && !line.starts_with("fedgate: "));
    let console = said.next().unwrap().split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let url = printed(&lines, "URL");
    assert_eq!(console, format!("{url}/console/"));
    for page in [console, url] {
        let Output { stdout, .. } =
            Command::new("curl").args(["-sSL", "-H", "Accept: text/html", page]).output().unwrap();
        assert!(String::from_utf8(stdout).unwrap().contains("src=\"/console/"), "{page}");
    }

    demo.signal("INT");
    demo.until("stopped");
    assert_eq!(demo.exit_code(), Some(0));
}

fn status_of_demo(lines: &[String]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = Command::new(FEDGATE)
        .args(["status", "--url", printed(lines, "URL"), "--user", printed(lines, "User")])
        .env_clear()
        .env("FEDGATE_PASSWORD", printed(lines, "Password"))
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn a_cluster_of_the_demo_can_be_down_from_the_start() {
    let demo = Running::start(&["demo", "--listen", "127.0.0.1:0", "--fail", "alpha"]);
    let lines = demo.until("Ctrl-C ends it");
    demo.until("alpha is down");
    // The first check of its health has not necessarily been made.
    let unhealthy = loop {
        let (code, text) = status_of_demo(&lines);
        if code == Some(3) {
            break text;
        }
    };
    assert!(unhealthy.lines().any(|line| line.starts_with("alpha") && line.contains("down")), "{unhealthy}");
    assert_eq!(run(&["demo", "--fail", "gamma"]).0, Some(64));
}

#[test]
fn a_key_takes_a_cluster_of_the_demo_down_and_brings_it_back() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let other_side = fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let before = rustix::termios::tcgetattr(&other_side).unwrap().local_modes;
    let mut demo = Running::start_with(&["demo", "--port", "0"], other_side.try_clone().unwrap().into());
    let lines = demo.until("Ctrl-C ends it");
    assert!(lines.iter().any(|line| line.starts_with("Press a, b or l")), "{lines:#?}");
    assert_ne!(rustix::termios::tcgetattr(&other_side).unwrap().local_modes, before);
    let press = |key: &[u8]| rustix::io::write(&terminal, key).unwrap();
    press(b"xa");
    demo.until("alpha is down");
    let url = format!("{}/api/core/v2/namespaces", printed(&lines, "URL"));
    let token = commands(&lines, &["TOKEN="])[0];
    let directory = tempfile::tempdir().unwrap();
    let complete = || {
        let script = format!("{token}\ncurl -si -H \"Authorization: Bearer $TOKEN\" {url}");
        let Output { stdout, .. } = shell(&script, directory.path());
        let answer = String::from_utf8(stdout).unwrap();
        (answer.contains("fedgate-complete: false"), answer)
    };
    let wait_for_complete = |incomplete: bool| while complete().0 != incomplete {};
    wait_for_complete(true);
    assert!(complete().1.contains("\"alpha\";error=unreachable"), "{}", complete().1);
    press(b"a");
    demo.until("alpha is up again");
    wait_for_complete(false);
    demo.signal("INT");
    demo.until("stopped");
    assert_eq!(demo.exit_code(), Some(0));
    assert_eq!(rustix::termios::tcgetattr(&other_side).unwrap().local_modes, before, "as it was");
}

#[test]
fn a_simulated_cluster_runs_alone_and_is_asked_for_its_health() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys").display().to_string();
    let mut cluster = Running::start(&["simulate", "alpha", "--listen", "127.0.0.1:0", "--keys", &keys]);
    let listens = cluster.until("alpha listens on ").pop().unwrap();
    let url = listens.strip_prefix("alpha listens on ").unwrap();
    assert_eq!(run(&["health", "--url", &format!("{url}/version")]).0, Some(0));
    assert_eq!(run(&["health", "--url", &format!("{url}/nothing")]).0, Some(69));
    cluster.signal("TERM");
    cluster.until("stopped");
    assert_eq!(cluster.exit_code(), Some(0));
}

/// Its clusters are its neighbours; the proxies of the environment are for whoever works on that machine.
#[test]
fn the_gateway_reaches_its_clusters_past_the_proxies_of_its_environment() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys").display().to_string();
    let cluster = Running::start(&["simulate", "local-cluster", "--listen", "127.0.0.1:0", "--keys", &keys]);
    let listens = cluster.until("local-cluster listens on ").pop().unwrap();
    let port = listens.rsplit(':').next().unwrap().to_owned();
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\nlog: { format: text }\n");
    // This machine under an address that no client takes for it.
    let here = format!("http://0.0.0.0:{port}");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("http://127.0.0.1:1", &here)).unwrap();
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        let checked = Command::new(FEDGATE)
            .args(["check-config", "--config", &config])
            .env_clear()
            .env(variable, &address)
            .output()
            .unwrap();
        let table = String::from_utf8(checked.stdout).unwrap();
        assert!(table.lines().any(|line| line.starts_with("works  cluster local-cluster")), "{table}");
        let gateway =
            Running::start_in(&["serve", "--config", &config], Stdio::null(), Some((variable, &address)));
        let listening = gateway.until("listening").pop().unwrap();
        let main = listening.split("main=").nth(1).unwrap().split_whitespace().next().unwrap();
        assert_eq!(run(&["health", "--url", &format!("http://{main}/health")]).0, Some(0), "{variable}");
        let asked = proxy.accept().unwrap_err();
        assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock, "{variable}");
    }
}

#[test]
fn check_config_beside_the_gateway_that_runs_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\n");
    let gateway = Running::start(&["serve", "--config", &config]);
    gateway.until("listening");
    let Output { stdout, .. } =
        Command::new(FEDGATE).args(["check-config", "--config", &config]).env_clear().output().unwrap();
    let table = String::from_utf8(stdout).unwrap();
    let row = table.lines().find(|line| line.contains("registry ")).unwrap();
    assert!(
        row.starts_with("works  registry ") && row.ends_with("in use by a running gateway, not read"),
        "{row}"
    );
}

#[test]
fn a_first_start_without_a_configuration_shows_one_that_can_be_pasted() {
    let (code, line) = run(&["serve", "--config", "/nowhere/fedgate.yaml"]);
    assert_eq!((code, line.lines().count()), (Some(78), 1), "{line}");
    assert!(line.starts_with("fedgate: there is no /nowhere/fedgate.yaml: write it"), "{line}");
    let example = &line[line.find('{').unwrap()..=line.rfind('}').unwrap()];
    let root = fedgate::config::parse(example, "example", &std::collections::BTreeMap::new()).unwrap();
    assert_eq!(root.listen.address.to_string(), "127.0.0.1:8080");
}

#[test]
fn systemd_learns_when_the_gateway_is_ready_reloads_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let config = configuration(directory.path(), "listen: { address: 127.0.0.1:0 }\n");
    let variable = ("NOTIFY_SOCKET", socket.to_str().unwrap());
    let mut gateway = Running::start_in(&["serve", "--config", &config], Stdio::null(), Some(variable));
    assert_eq!(told(), "READY=1\nSTATUS=running");
    gateway.signal("HUP");
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\nSTATUS=running");
    fs::write(&config, "nothing: useful\n").unwrap();
    gateway.signal("HUP");
    assert!(told().starts_with("RELOADING=1\n"));
    assert!(told().contains("the last reload changed nothing, see the log"));
    gateway.signal("TERM");
    // The watch over the files may have tried again meanwhile.
    let stopping = std::iter::repeat_with(told).find(|message| message.starts_with("STOPPING=1\n")).unwrap();
    // 30 s to drain, 3 s for replication, and some.
    assert!(stopping.ends_with("EXTEND_TIMEOUT_USEC=38000000"), "{stopping}");
    assert_eq!(gateway.exit_code(), Some(0));
}
