use std::fs;

use fedgate::{
    etcd::{Client, Config, Error, TlsError, proto::RangeRequest},
    types::TlsFiles,
};
use tempfile::TempDir;

use crate::secure_etcd::{ca, issue, secure_etcd};

async fn ask(client: &Client) -> Result<(), Error> {
    client.range(RangeRequest::key("/tls")).await.map(drop)
}

#[tokio::test]
async fn certificates_are_read_again_for_each_connection() {
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (ca(), ca());
    let mut etcd = secure_etcd(&ours, dir.path()).await;
    let client = etcd.client();
    ask(&client).await.unwrap();

    // A certificate that etcd does not take: the connection that is open stays, the next one is refused.
    issue(&theirs, dir.path(), "client");
    ask(&client).await.unwrap();
    let fresh = etcd.client();
    let error = ask(&fresh).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    fs::write(dir.path().join("client-key.pem"), "half written").unwrap();
    let error = ask(&fresh).await.unwrap_err();
    assert!(matches!(&error, Error::Files(cause) if matches!(**cause, TlsError::NoKey { .. })), "{error:?}");
    assert!(error.to_string().contains("client-key.pem"), "{error}");

    // The next rotation is a good one.
    issue(&ours, dir.path(), "client");
    ask(&fresh).await.unwrap();
    etcd.kill();
    etcd.restart().await;
    ask(&client).await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused_unless_told_otherwise() {
    let dir = TempDir::new().unwrap();
    let etcd = secure_etcd(&ca(), dir.path()).await;
    let other = dir.path().join("other.pem");
    fs::write(&other, ca().pem()).unwrap();
    let with = |change: fn(&mut TlsFiles)| {
        let mut tls = TlsFiles { trusted_ca_file: Some(other.clone()), ..etcd.config().tls };
        change(&mut tls);
        Client::new(Config::new(vec![etcd.endpoint()], tls)).unwrap()
    };
    let error = ask(&with(|_| ())).await.unwrap_err();
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("certificate")), "{error:?}");
    ask(&with(|tls| tls.insecure_skip_tls_verify = true)).await.unwrap();
    let error = ask(&with(|tls| tls.key_file = None)).await.unwrap_err();
    assert!(matches!(&error, Error::Files(cause) if matches!(**cause, TlsError::Half { .. })), "{error:?}");
    let nobody = with(|tls| {
        tls.insecure_skip_tls_verify = true;
        (tls.cert_file, tls.key_file) = (None, None);
    });
    let error = ask(&nobody).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}
