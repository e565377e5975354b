//! Behind a load balancer: who the client is.

use fedgate::sim::Sensu;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::Running;

/// Sends bytes and a request for the users on a connection that closes after its answer.
async fn ask(server: &Running, before: &[u8], forwarded: &str) -> String {
    let mut stream = TcpStream::connect(server.main).await.unwrap();
    let request = format!(
        "GET /api/core/v2/users HTTP/1.1\r\nhost: gw\r\nconnection: close\r\nauthorization: Bearer {}\r\n{forwarded}\r\n",
        server.token
    );
    // A server that has hung up may have reset the connection.
    let _ = stream.write_all(&[before, request.as_bytes()].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whom the cluster takes for the client of the last request.
fn told(sensu: &Sensu) -> String {
    let requests = sensu.requests();
    let last = requests.iter().rfind(|request| request.path_and_query.ends_with("/users")).unwrap();
    last.headers["x-forwarded-for"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cluster_is_told_the_client_that_the_proxy_header_names() {
    let listen = json!({
        "address": "127.0.0.1:0", "workers": 1, "proxy-protocol": "required",
        "trusted-proxies": ["198.51.100.0/24"],
    });
    let server = Running::with(json!({"listen": listen})).await;
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x09\x0a\0\0\x01\x9c\x40\x01\xbb\x04\0\x01\0";
    for (header, forwarded, client) in [
        (&b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 443\r\n"[..], "", "203.0.113.9"),
        (binary, "", "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 40000 443\r\n", "", "2001:db8::9"),
        // The balancer's own.
        (b"PROXY UNKNOWN\r\n", "", "127.0.0.1"),
        // Behind it, a proxy that is trusted and one that is not.
        (
            b"PROXY TCP4 198.51.100.1 10.0.0.1 1 443\r\n",
            "x-forwarded-for: 192.0.2.7\r\n",
            "192.0.2.7, 198.51.100.1",
        ),
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 1 443\r\n", "x-forwarded-for: 192.0.2.7\r\n", "203.0.113.9"),
    ] {
        let answer = ask(&server, header, forwarded).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(told(&server.sensu), client, "{}", header.escape_ascii());
    }
    assert_eq!(ask(&server, b"", "").await, "");
    // The admin listener is nobody's backend.
    let mut admin = crate::support::h1(server.admin).await;
    let metrics = admin.send_request(server.request("/metrics")).await.unwrap();
    let (_, page) = crate::support::read(metrics).await;
    let refused = b"fedgate_listener_refused_total{reason=\"proxy-header\"} 1\n";
    assert!(memchr::memmem::find(&page, refused).is_some());
}
