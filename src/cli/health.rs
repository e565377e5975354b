use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// Ask this URL instead of the configured address, such as `http://127.0.0.1:9180`
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
}

// === impl Health ===

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        let address = match self.url {
            Some(url) => address_of(&url)?,
            None => loopback(config::load(&self.config, &environment())?.admin.address).to_string(),
        };
        let asked = async {
            tokio::time::timeout(TIMEOUT, ready(&address))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
        };
        match control_runtime()?.block_on(asked) {
            Ok(StatusCode::OK) => Ok(()),
            Ok(status) => {
                Err(Failure::new(UNAVAILABLE, format!("the gateway at {address} is not ready: {status}")))
            }
            Err(error) => {
                Err(Failure::new(UNAVAILABLE, format!("cannot ask the gateway at {address}: {error}")))
            }
        }
    }
}

async fn ready(address: &str) -> Result<StatusCode, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header("host", address)
        .body(Empty::<Bytes>::new())
        .map_err(|e| e.to_string())?;
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

/// The unspecified address is one to listen on, not one to connect to.
fn loopback(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match &mut address {
            SocketAddr::V4(v4) => v4.set_ip(std::net::Ipv4Addr::LOCALHOST),
            SocketAddr::V6(v6) => v6.set_ip(std::net::Ipv6Addr::LOCALHOST),
        }
    }
    address
}

const TIMEOUT: Duration = Duration::from_secs(3);
