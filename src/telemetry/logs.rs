use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LogHandle(Option<reload::Handle<EnvFilter, Registry>>);

/// Starts logging to stderr. Only the gateway's own events pass below `warn`: dependencies would log per frame.
///
/// A second call in one process changes nothing.
pub fn init(format: Format, level: LevelFilter) -> LogHandle {
    let (filter, handle) = reload::Layer::new(filter(level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => registry.with(layer).try_init(),
    };
    LogHandle(started.is_ok().then_some(handle))
}

// === impl LogHandle ===

impl LogHandle {
    /// Sets another level.
    pub fn set_level(&self, level: LevelFilter) {
        if let Some(handle) = &self.0 {
            let _ = handle.reload(filter(level));
        }
    }
}

/// The user wants none, as <https://no-color.org> says it.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn filter(level: LevelFilter) -> EnvFilter {
    EnvFilter::new(format!("warn,fedgate={level}"))
}
