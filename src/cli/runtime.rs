use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::Failure;

/// The control plane's runtime, on the main thread. Workers have their own.
pub(super) fn control_runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start a runtime: {error}")))
}

/// One message for each SIGTERM or SIGINT.
pub(super) fn stop_signals() -> Result<mpsc::Receiver<()>, Failure> {
    messages([SignalKind::terminate(), SignalKind::interrupt()])
}

/// The same, and for SIGHUP, which comes when a terminal goes away.
pub(super) fn stop_signals_or_hangup() -> Result<mpsc::Receiver<()>, Failure> {
    messages([SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()])
}

fn messages<const N: usize>(kinds: [SignalKind; N]) -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, receiver) = mpsc::channel(2);
    for kind in kinds {
        let mut signals =
            signal(kind).map_err(|error| Failure::new(1, format!("cannot handle signals: {error}")))?;
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).await.is_ok() {} });
    }
    Ok(receiver)
}
