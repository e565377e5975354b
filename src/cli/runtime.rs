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
    let handler = |kind| signal(kind).map_err(|e| Failure::new(1, format!("cannot handle signals: {e}")));
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
