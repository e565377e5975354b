//! Proxies in this process. They resolve no name: whatever they are asked for, they connect to one address.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// How a proxy behaves.
#[derive(Clone)]
pub(crate) enum Kind {
    /// HTTP, over TLS where there is an acceptor.
    Http(Option<TlsAcceptor>),
    /// HTTP that answers everything with this status and these ways to log in.
    Refuses(u16, &'static [&'static str]),
    /// Bytes that are no HTTP.
    Garbage,
    /// SOCKS 5 for this user and password, or for everyone.
    Socks(Option<(&'static str, &'static str)>),
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<watch::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A request that the proxy was sent; of SOCKS only the target.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

#[derive(Clone)]
struct Shared {
    kind: Kind,
    destination: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Body = BoxBody<Bytes, hyper::Error>;

// === impl Proxy ===

impl Proxy {
    /// One that connects to a server, given by its URL.
    pub(crate) fn start(kind: Kind, url: &str) -> Self {
        let destination = url.rsplit('/').next().unwrap().parse().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let shared = Shared { kind, destination, asked: Arc::clone(&asked) };
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, mut stopped) = watch::channel(());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = tokio::select! {
                        accepted = listener.accept() => accepted.unwrap(),
                        _ = stopped.changed() => return,
                    };
                    tokio::spawn(shared.clone().serve(stream));
                }
            });
        });
        let address = started.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { address, asked, stop: Some(stop), thread: Some(thread) }
    }

    /// Takes the requests so far.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

// === impl Asked ===

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

// === impl Shared ===

impl Shared {
    async fn serve(self, mut stream: TcpStream) {
        match self.kind.clone() {
            Kind::Http(Some(acceptor)) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    self.serve_http(stream).await;
                }
            }
            Kind::Http(None) | Kind::Refuses(..) => self.serve_http(stream).await,
            Kind::Garbage => {
                let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n").await;
                let _ = stream.read(&mut [0; 1024]).await;
            }
            Kind::Socks(login) => {
                let _ = self.serve_socks(stream, login).await;
            }
        }
    }

    async fn serve_http<I: AsyncRead + AsyncWrite + Send + Unpin + 'static>(self, stream: I) {
        let service = service_fn(|request| {
            let shared = self.clone();
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    }

    async fn answer(self, mut request: Request<Incoming>) -> Response<Body> {
        self.note(request.method().clone(), request.uri().to_string(), request.headers().clone());
        if let Kind::Refuses(status, ways) = self.kind {
            let mut response = Response::builder().status(status);
            for way in ways {
                response = response.header(header::PROXY_AUTHENTICATE, *way);
            }
            return response.body(full("<html>from the proxy</html>")).unwrap();
        }
        let mut server = TcpStream::connect(self.destination).await.unwrap();
        if request.method() == Method::CONNECT {
            tokio::spawn(async move {
                let client = hyper::upgrade::on(&mut request).await.unwrap();
                let _ = copy_bidirectional(&mut TokioIo::new(client), &mut server).await;
            });
            return Response::new(full(""));
        }
        // As proxies must: the server gets the path alone, and what is for the proxy stays there.
        assert_eq!(request.uri().scheme_str(), Some("http"), "{}", request.uri());
        *request.uri_mut() = Uri::from(request.uri().path_and_query().unwrap().clone());
        request.headers_mut().remove(header::PROXY_AUTHORIZATION);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(server)).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap().map(BodyExt::boxed)
    }

    async fn serve_socks(self, mut stream: TcpStream, login: Option<(&str, &str)>) -> std::io::Result<()> {
        let [_, methods] = read(&mut stream).await?;
        let mut offered = vec![0; methods.into()];
        stream.read_exact(&mut offered).await?;
        let method = if login.is_some() { 2 } else { 0 };
        if !offered.contains(&method) {
            return stream.write_all(&[5, 0xff]).await;
        }
        stream.write_all(&[5, method]).await?;
        if let Some((user, password)) = login {
            let [_version] = read(&mut stream).await?;
            let given = (string(&mut stream).await?, string(&mut stream).await?);
            let is_good = given == (user.to_owned(), password.to_owned());
            stream.write_all(&[1, u8::from(!is_good)]).await?;
            if !is_good {
                return Ok(());
            }
        }
        let [_, _, _, kind] = read(&mut stream).await?;
        assert_eq!(kind, 3, "a name, which the proxy resolves");
        let host = string(&mut stream).await?;
        let port = u16::from_be_bytes(read(&mut stream).await?);
        self.note(Method::CONNECT, format!("{host}:{port}"), HeaderMap::new());
        let mut server = TcpStream::connect(self.destination).await?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        copy_bidirectional(&mut stream, &mut server).await.map(drop)
    }

    fn note(&self, method: Method, target: String, headers: HeaderMap) {
        self.asked.lock().push(Asked { method, target, headers });
    }
}

async fn read<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// A string with its length before it.
async fn string(stream: &mut TcpStream) -> std::io::Result<String> {
    let [length] = read(stream).await?;
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

fn full(text: &'static str) -> Body {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed()
}
