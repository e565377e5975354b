//! A load balancer that runs a file of `config/`, in front of gateways that run here.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The name in the certificate.
const NAME: &str = "gateway.example.com";

/// What the file says, and what it has to say here.
type Change = (&'static str, String);

/// A certificate of the gateways, which is its own CA, in files.
pub(crate) struct Certificate {
    directory: TempDir,
    der: CertificateDer<'static>,
}

/// A running load balancer. Killed on drop.
pub(crate) struct Balancer {
    child: Child,
    directory: TempDir,
    pub(crate) address: SocketAddr,
}

// === impl Certificate ===

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { directory, der: made.cert.der().clone() }
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Connects from 127.0.0.2, so that client and balancer have different addresses.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        protocol: &str,
    ) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())?;
        let stream = socket.connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(NAME.try_into().unwrap(), stream).await
    }
}

// === impl Balancer ===

impl Balancer {
    /// `config/haproxy.cfg`, with checks that are more frequent than there.
    pub(crate) async fn haproxy(gateways: [SocketAddr; 2], certificate: &Certificate) -> Self {
        let ca = certificate.cert();
        let changes = |address: SocketAddr, _: &Path| {
            vec![
                ("bind :8080", format!("bind {address}")),
                ("10.0.0.1:8080", gateways[0].to_string()),
                ("10.0.0.2:8080", gateways[1].to_string()),
                ("/etc/fedgate/ca.pem", ca.display().to_string()),
                ("inter 1s", "inter 100ms".to_owned()),
            ]
        };
        Self::start("haproxy.cfg", &changes, |file, _| {
            let mut command = Command::new(installed("haproxy"));
            command.arg("-db").arg("-f").arg(file);
            command
        })
        .await
    }

    /// `config/nginx.conf`.
    pub(crate) async fn nginx(gateways: [SocketAddr; 2], certificate: &Certificate) -> Self {
        let changes = |address: SocketAddr, directory: &Path| {
            let own = directory.display();
            let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("    {kind}_temp_path {own}/{kind};\n"))
                .concat();
            vec![
                ("listen 8080 ssl", format!("listen {address} ssl")),
                ("10.0.0.1:8080", gateways[0].to_string()),
                ("10.0.0.2:8080", gateways[1].to_string()),
                ("/etc/fedgate/ca.pem", certificate.cert().display().to_string()),
                ("/etc/fedgate/public.pem", certificate.cert().display().to_string()),
                ("/etc/fedgate/public-key.pem", certificate.key().display().to_string()),
                // Where it may write without being root.
                ("http {\n", format!("http {{\n{places}")),
            ]
        };
        Self::start("nginx.conf", &changes, |file, directory| {
            let mut command = Command::new(installed("nginx"));
            command.arg("-p").arg(directory).args(["-e", "stderr", "-g"]);
            command.arg(format!("daemon off; pid {}/nginx.pid;", directory.display())).arg("-c").arg(file);
            command
        })
        .await
    }

    async fn start(
        name: &str,
        changes: &dyn Fn(SocketAddr, &Path) -> Vec<Change>,
        command: impl Fn(&Path, &Path) -> Command,
    ) -> Self {
        let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        for _ in 0..5 {
            let directory = TempDir::new().unwrap();
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let mut text = fs::read_to_string(&recipe).unwrap();
            for (written, here) in changes(port, directory.path()) {
                assert_eq!(text.matches(written).count(), 1, "{written} in {name}");
                text = text.replace(written, &here);
            }
            let file = directory.path().join(name);
            fs::write(&file, text).unwrap();
            let log = File::create(directory.path().join("log")).unwrap();
            let child = command(&file, directory.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut balancer = Self { child, directory, address: port };
            if balancer.listens().await {
                return balancer;
            }
        }
        panic!("five times another process took the port of the balancer");
    }

    /// Whether it accepts connections, and not another process that took the port first.
    async fn listens(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                let log = self.log();
                assert!(log.contains("in use") || log.contains("cannot bind"), "it ended at once:\n{log}");
                return false;
            }
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not listen:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // nginx's workers end when their master says so.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian puts them where only root looks by itself.
fn installed(name: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|place| place.join(name))
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: .ci/test says what the tests need"))
}

const PATIENCE: Duration = Duration::from_secs(20);
