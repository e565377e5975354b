use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
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

/// SIGHUP, which comes when a terminal goes away.
pub(super) fn hangup_signals() -> Result<Signal, Failure> {
    handler(SignalKind::hangup())
}

fn handler(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(1, format!("cannot handle signals: {error}")))
}

/// One message for each SIGTERM or SIGINT.
pub(super) fn stop_signals() -> Result<mpsc::Receiver<()>, Failure> {
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
