//! What the process writes to its log, as JSON, for those who read it by machine.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use fedgate::sim::{Sensu, SharedKeys};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{claims, h1, now, read, request_of, simulated};

/// A gateway in a process of its own.
struct Process {
    child: Child,
    main: SocketAddr,
    lines: mpsc::Receiver<Value>,
    token: String,
    _sensu: Sensu,
    directory: tempfile::TempDir,
}

// === impl Process ===

impl Process {
    async fn start(log: Value) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let (sensu, local) = simulated("local-cluster", &keys).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("jwt.pem"), keys.public_pem()).unwrap();
        let [main, admin] = [(); 2].map(|()| free_port());
        let mut process = Self {
            child: spawn(directory.path(), &config(directory.path(), main, admin, local, &log)),
            main,
            lines: mpsc::channel().1,
            token: keys.mint(&claims("admin", &["cluster-admins"], now() + 300)),
            _sensu: sensu,
            directory,
        };
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(process.child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        process.lines = lines;
        while TcpStream::connect(main).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    async fn send(&self, request: Request<Full<bytes::Bytes>>) -> u16 {
        read(h1(self.main).await.send_request(request).await.unwrap()).await.0
    }

    async fn call(&self, method: Method, target: &str, body: &Value) -> u16 {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(request_of(&self.token, method, target, body)).await
    }

    /// The next line with this message.
    fn next(&self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("a line");
            if line["message"] == message {
                return line;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn config(directory: &Path, main: SocketAddr, admin: SocketAddr, local: SocketAddr, log: &Value) -> Value {
    json!({
        "listen": {"address": main, "workers": 1, "trusted-proxies": ["127.0.0.0/8", "10.0.0.0/8"]},
        "admin": {"address": admin},
        "auth": {"jwt-public-key-files": [directory.join("jwt.pem")]},
        "store": {"embedded": {"path": directory.join("registry.redb")}},
        "local-cluster": {"api-urls": [format!("http://{local}")]},
        "log": log,
    })
}

fn spawn(directory: &Path, config: &Value) -> Child {
    let file = directory.join("fedgate.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedgate"));
    command.args(["serve", "--config"]).arg(file).env_clear();
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The line without what differs each time.
fn stable(mut line: Value) -> Value {
    for field in ["timestamp", "request_id", "duration_ms", "bytes"] {
        assert!(line.as_object_mut().unwrap().remove(field).is_some() || field != "timestamp", "{line}");
    }
    line
}

#[tokio::test]
async fn an_access_line_has_plain_values_and_the_clients_address() {
    let process = Process::start(json!({})).await;
    let mut request =
        request_of(&process.token, Method::GET, "/api/core/v2/namespaces/default/checks/x?a=b", "");
    request.headers_mut().insert("x-request-id", "from-the-client".parse().unwrap());
    request.headers_mut().append("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.1.1.1".parse().unwrap());
    assert_eq!(process.send(request).await, 404);
    let line = process.next("request");
    assert_eq!(line["request_id"], "from-the-client");
    assert!(line["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{line}");
    assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{line}");
    assert_eq!(
        stable(line),
        json!({
            "level": "INFO", "message": "request", "client": "198.51.100.7", "method": "GET",
            "path": "/api/core/v2/namespaces/default/checks/x", "route": "forward", "cluster": "local-cluster",
            "subject": "admin", "status": 404, "outcome": "complete",
        })
    );
}

#[tokio::test]
async fn probes_that_succeed_have_no_line_at_info() {
    let process = Process::start(json!({})).await;
    assert_eq!(process.call(Method::GET, "/livez", &Value::Null).await, 200);
    assert_eq!(process.call(Method::GET, "/version", &Value::Null).await, 200);
    assert_eq!(process.next("request")["path"], "/version");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_has_a_line_and_an_id() {
    let process = Process::start(json!({})).await;
    let mut client = TcpStream::connect(process.main).await.unwrap();
    // Refused by hyper: a raw `<` in the path. A good request comes first.
    let good = format!(
        "GET /api/core/v2/namespaces HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer {}\r\n\r\n",
        process.token
    );
    client.write_all(good.as_bytes()).await.unwrap();
    // The clusters run on this thread, so the answer is awaited first.
    let mut first = Vec::new();
    while !first.ends_with(b"]") {
        client.read_buf(&mut first).await.unwrap();
    }
    assert_eq!(process.next("request")["status"], 200);
    client.write_all(b"GET /api/<raw>?token=secret HTTP/1.1\r\nhost: gw\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["message"].as_str().unwrap().contains("percent-encoded"), "{body}");
    let line = process.next("request");
    assert_eq!(line["request_id"], id);
    assert_eq!(
        stable(line),
        json!({
            "level": "INFO", "message": "request", "client": "127.0.0.1", "method": "GET", "path": "/api/<raw>",
            "route": "none", "status": 400, "outcome": "complete",
        })
    );
    let mut garbage = TcpStream::connect(process.main).await.unwrap();
    garbage.write_all(b"\x16\x03\x01 garbage\r\n\r\n").await.unwrap();
    garbage.read_to_string(&mut answer).await.unwrap();
    assert_eq!(process.call(Method::GET, "/version", &Value::Null).await, 200);
    let lines = [(); 2].map(|()| process.lines.recv_timeout(Duration::from_secs(30)).expect("a line"));
    assert_eq!((&lines[0]["method"], &lines[0]["path"]), (&json!("other"), &json!("")), "{lines:?}");
    assert_eq!(lines[1]["path"], "/version", "no audit line comes between them: {lines:?}");
}

#[tokio::test]
async fn every_write_has_an_audit_line_whatever_else_is_logged() {
    let process = Process::start(json!({"level": "error", "access": "off"})).await;
    let check = json!({"metadata": {"name": "x", "namespace": "default"}, "command": "true", "interval": 60, "subscriptions": ["a"]});
    let checks = "/api/core/v2/namespaces/default/checks";
    let cluster = json!({
        "type": "Cluster", "api_version": "federation/v1",
        "metadata": {"name": "alpha"}, "spec": {"api_urls": ["http://127.0.0.1:9"]}
    });
    let clusters = "/api/enterprise/federation/v1/clusters/alpha";
    let mutation = json!({"query": "mutation { gone: deleteCheck(input: {id: \"srn:checks:default:x\"}) { errors { code } } }"});
    for (method, target, body, expected) in [
        (
            Method::PUT,
            format!("{checks}/x"),
            &check,
            json!({"action": "write", "route": null, "cluster": "local-cluster", "status": 201}),
        ),
        (Method::DELETE, format!("{checks}/y"), &Value::Null, json!({"action": "write", "status": 404})),
        (
            Method::PUT,
            clusters.to_owned(),
            &cluster,
            json!({"action": "write", "status": 201, "cluster": null}),
        ),
        (
            Method::DELETE,
            "/c/alpha/api/core/v2/apikeys/0d2a-secret".to_owned(),
            &Value::Null,
            json!({"action": "write", "status": 502, "cluster": "alpha", "path": "/c/alpha/api/core/v2/apikeys/"}),
        ),
        (
            Method::POST,
            "/graphql".to_owned(),
            &mutation,
            json!({"action": "mutation", "mutations": "deleteCheck", "cluster": "local-cluster", "status": 200}),
        ),
        (
            Method::POST,
            "/c/local-cluster/graphql".to_owned(),
            &mutation,
            json!({"action": "mutation", "mutations": "deleteCheck", "status": 200}),
        ),
    ] {
        // Reads leave none.
        process.call(Method::GET, "/api/core/v2/checks", &Value::Null).await;
        process.call(Method::POST, "/graphql", &json!({"query": "{ viewer { username } }"})).await;
        process.call(method.clone(), &target, body).await;
        let line = process.next("audit");
        assert_eq!((&line["subject"], &line["client"]), (&json!("admin"), &json!("127.0.0.1")), "{line}");
        assert_eq!(line["method"], method.as_str(), "{line}");
        assert!(line["request_id"].as_str().is_some_and(|id| id.len() == 36), "{line}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&line[field], value, "{field} of {line}");
        }
    }
    assert!(process.lines.try_iter().all(|line| line["message"] != "request"));
    let refused = request_of("no-token", Method::DELETE, &format!("{checks}/x"), "");
    assert_eq!(process.send(refused).await, 401);
    let line = process.next("audit");
    assert_eq!(
        (&line["action"], &line["status"], &line["subject"]),
        (&json!("refused"), &json!(401), &Value::Null)
    );
}

#[tokio::test]
async fn logins_are_audited_and_a_failed_one_names_nobody() {
    let process = Process::start(json!({"access": "off"})).await;
    let login = |password: &str| {
        let basic = base64(&format!("admin:{password}"));
        let request =
            Request::get("/auth").header("host", "gw").header("authorization", format!("Basic {basic}"));
        request.body(Full::default()).unwrap()
    };
    assert_eq!(process.send(login("P@ssw0rd!")).await, 200);
    let line = process.next("audit");
    assert_eq!(
        (&line["action"], &line["subject"], &line["status"]),
        (&json!("login"), &json!("admin"), &json!(200))
    );
    assert_eq!(process.send(login("wrong")).await, 401);
    let line = process.next("audit");
    assert_eq!((&line["subject"], &line["status"]), (&Value::Null, &json!(401)), "{line}");
}

#[tokio::test]
async fn which_requests_have_a_line_changes_without_a_restart() {
    let process = Process::start(json!({"access": "errors"})).await;
    process.call(Method::GET, "/api/core/v2/checks", &Value::Null).await;
    process.call(Method::GET, "/nowhere/in/particular", &Value::Null).await;
    assert_eq!(process.next("request")["status"], 404);
    let file = process.directory.path().join("fedgate.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("\"errors\"", "\"all\"");
    std::fs::write(&file, text).unwrap();
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    process.next("configuration and files were read again");
    process.call(Method::GET, "/api/core/v2/checks", &Value::Null).await;
    assert_eq!(process.next("request")["status"], 200);
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
