//! TLS on the gateway's own listener.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A certificate of `gw` and its key, in files, and the roots that trust it.
pub(crate) fn certificate(directory: &Path) -> (PathBuf, PathBuf, RootCertStore) {
    let certified = rcgen::generate_simple_self_signed(["gw".to_owned()]).unwrap();
    let (cert, key) = (directory.join("cert"), directory.join("key"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    (cert, key, roots)
}

/// A connection on which this protocol was agreed.
pub(crate) async fn tls_client(
    address: SocketAddr,
    roots: RootCertStore,
    protocol: &str,
) -> TlsStream<TcpStream> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect("gw".try_into().unwrap(), tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    stream
}
