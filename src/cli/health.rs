use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{DEFAULT_CONFIG, Failure, UNAVAILABLE, USAGE, environment, runtime::control_runtime};
use crate::config;

/// `fedgate health`.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Configuration file with the `admin.address` to ask
    #[arg(long, short, value_name = "FILE", env = "FEDGATE_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Ask this URL instead of the configured address, such as `http://127.0.0.1:9180`; with a path, that instead of
    /// `/readyz`
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
}

// === impl Health ===

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = control_runtime()?;
        let asked = runtime.block_on(self.ask());
        // A hanging file system must not keep the process alive.
        runtime.shutdown_background();
        asked
    }

    async fn ask(self) -> Result<(), Failure> {
        let (address, path) = if let Some(url) = &self.url {
            (address_of(url)?, path_of(url))
        } else {
            let root = config::load_in_time(&self.config, &environment()).await?;
            (loopback(root.admin.address).to_string(), READY)
        };
        let unavailable = |line: String| Failure::new(UNAVAILABLE, line);
        let asked = tokio::time::timeout(TIMEOUT, status(&address, path))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
        match asked {
            Ok(StatusCode::OK) => Ok(()),
            Ok(status) => Err(unavailable(format!("the gateway at {address} is not ready: {status}"))),
            Err(error) => Err(unavailable(format!("cannot ask the gateway at {address}: {error}"))),
        }
    }
}

async fn status(address: &str, path: &str) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let request =
        Request::get(path).header("host", address).body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    Ok(sender.send_request(request).await.map_err(|e| e.to_string())?.status())
}

fn address_of(url: &Uri) -> Result<String, Failure> {
    let usage = || Failure::new(USAGE, "--url must be http://host:port");
    let authority = url.authority().ok_or_else(usage)?;
    if url.scheme_str() != Some("http") {
        return Err(usage());
    }
    Ok(if authority.port().is_some() { authority.to_string() } else { format!("{authority}:80") })
}

/// What is asked of an address alone.
fn path_of(url: &Uri) -> &str {
    if url.path().trim_matches('/').is_empty() { READY } else { url.path() }
}

/// The unspecified address is one to listen on, not one to connect to. `[::]` accepts IPv4 as well, and is IPv4 alone
/// where there is no IPv6.
fn loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    address
}

const READY: &str = "/readyz";

const TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_becomes_one_to_connect_to() {
        for (listened, asked) in [
            ("[::]:9180", "127.0.0.1:9180"),
            ("0.0.0.0:9180", "127.0.0.1:9180"),
            ("[::1]:9180", "[::1]:9180"),
            ("10.0.0.1:9180", "10.0.0.1:9180"),
        ] {
            assert_eq!(loopback(listened.parse().unwrap()).to_string(), asked);
        }
        for (url, path) in
            [("http://a:1", "/readyz"), ("http://a:1//", "/readyz"), ("http://a:1/version", "/version")]
        {
            assert_eq!(path_of(&url.parse().unwrap()), path);
        }
    }
}
