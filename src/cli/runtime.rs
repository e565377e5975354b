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

/// Does it, unless SIGINT or SIGTERM comes first: what it holds is dropped then, which a process that is killed cannot do.
pub(super) async fn unless_stopped<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err(Failure::new(130, "interrupted")),
        _ = terminate.recv() => Err(Failure::new(143, "terminated")),
    }
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
        let mut signals = listen(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while signals.recv().await.is_some() && sender.send(()).await.is_ok() {} });
    }
    Ok(receiver)
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::new(1, format!("cannot handle signals: {error}")))
}
