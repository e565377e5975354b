//! The gateway's own certificate.

use bytes::Bytes;
use fedgate::{
    net::{ClientFiles, secure},
    types::TlsFiles,
};
use http::Request;
use http_body_util::Full;
use hyper::client::conn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::{Running, h1, read, send};

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tls_tell_browsers_to_stay_there_and_the_certificates_end_is_a_metric() {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["gw".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let listen =
        json!({"address": "127.0.0.1:0", "workers": 1, "cert-file": cert, "key-file": key, "hsts": "1h"});
    let server = Running::with(json!({"listen": listen})).await;

    let files = TlsFiles { trusted_ca_file: Some(cert.clone()), ..TlsFiles::default() };
    let config = ClientFiles::read(&files).unwrap().config(b"http/1.1").unwrap();
    let tcp = TcpStream::connect(server.main).await.unwrap();
    let io = secure(tcp, "gw".to_owned(), config.into()).await.unwrap();
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    for (target, status) in [("/livez", 200), ("/api/core/v2/namespaces", 401), ("/nowhere", 404)] {
        let request = Request::get(target).header("host", "gw").body(Full::<Bytes>::default()).unwrap();
        let answer = send(&mut sender, request).await;
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=3600", "{target}");
        assert_eq!(read(answer).await.0, status, "{target}");
    }

    let answer = h1(server.admin).await.send_request(server.request("/metrics")).await.unwrap();
    let (_, page) = read(answer).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    let begin = format!(
        "fedgate_certificate_expiry_timestamp_seconds{{usage=\"server\",file=\"{}\",",
        cert.display()
    );
    let series: Vec<&str> = page.lines().filter(|line| line.starts_with(&begin)).collect();
    let [series] = &series[..] else { panic!("{page}") };
    // rcgen's certificates end in the year 4096.
    let end: i64 = series.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(end, 67_090_118_400, "{series}");
}
