use std::{
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Tells systemd what the process does, when it asks to be told (`sd_notify(3)`, `Type=notify`); else does nothing.
#[derive(Clone, Default)]
pub(super) struct Notifier(Option<Arc<Inner>>);

struct Inner {
    socket: UnixDatagram,
    manager: SocketAddr,
    /// Nothing is said about reloads before the start has ended: the end of a reload would pass for it.
    has_started: AtomicBool,
}

// === impl Notifier ===

impl Notifier {
    /// For the value of `NOTIFY_SOCKET`, when it is set.
    pub(super) fn new(address: Option<&str>) -> Self {
        let Some(address) = address.filter(|address| !address.is_empty()) else { return Self::default() };
        match connect(address) {
            Ok((socket, manager)) => {
                Self(Some(Arc::new(Inner { socket, manager, has_started: AtomicBool::new(false) })))
            }
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used: systemd does not learn of the start");
                Self::default()
            }
        }
    }

    /// Requests are answered.
    pub(super) fn ready(&self) {
        let Some(inner) = &self.0 else { return };
        inner.has_started.store(true, Relaxed);
        inner.send("READY=1\nSTATUS=running");
    }

    /// A reload begins; [`Self::reloaded`] ends it.
    pub(super) fn reloading(&self) {
        let Some(inner) = self.started() else { return };
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        inner.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// A reload has ended, well or not.
    pub(super) fn reloaded(&self, is_applied: bool) {
        let Some(inner) = self.started() else { return };
        inner.send(if is_applied {
            "READY=1\nSTATUS=running"
        } else {
            "READY=1\nSTATUS=running; the last reload changed nothing, see the log"
        });
    }

    /// The shutdown begins, and takes no longer than this: systemd is to wait so long.
    pub(super) fn stopping(&self, longest: Duration) {
        let Some(inner) = &self.0 else { return };
        let micros = longest.as_micros();
        inner.send(&format!("STOPPING=1\nSTATUS=finishing requests\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    fn started(&self) -> Option<&Inner> {
        self.0.as_deref().filter(|inner| inner.has_started.load(Relaxed))
    }
}

// === impl Inner ===

impl Inner {
    fn send(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.manager) {
            tracing::warn!(%error, "systemd could not be notified");
        }
    }
}

fn connect(address: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the control plane for long.
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, manager(address)?))
}

#[cfg(target_os = "linux")]
fn manager(address: &str) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(address),
    }
}

#[cfg(not(target_os = "linux"))]
fn manager(address: &str) -> std::io::Result<SocketAddr> {
    SocketAddr::from_pathname(address)
}

const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn received(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        manager.set_nonblocking(true).unwrap();
        let length = manager.recv(&mut bytes).unwrap_or_default();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn systemd_learns_of_start_reloads_and_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str());
        notifier.reloading();
        notifier.reloaded(true);
        assert_eq!(received(&manager), "", "a reload during the start is no end of it");
        notifier.ready();
        assert_eq!(received(&manager), "READY=1\nSTATUS=running");
        notifier.reloading();
        let reloading = received(&manager);
        let at = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(at.parse::<u64>().unwrap() > 0);
        notifier.reloaded(false);
        assert!(received(&manager).starts_with("READY=1\nSTATUS=running; the last reload changed nothing"));
        notifier.stopping(Duration::from_secs(38));
        assert!(received(&manager).ends_with("EXTEND_TIMEOUT_USEC=38000000"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_abstract_socket_is_reached_and_none_or_a_bad_one_is_no_reason_to_stop() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("fedgate-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::new(Some(&format!("@{name}"))).ready();
        assert_eq!(received(&manager), "READY=1\nSTATUS=running");
        for address in [None, Some(""), Some("/nowhere/notify"), Some(&*"x".repeat(200))] {
            Notifier::new(address).ready();
        }
    }
}
