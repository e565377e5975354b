use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use super::{Lines, access::AUDIT};

/// `log`: what is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// How a line is written.
    pub format: Format,
    /// The least severe level that is written.
    pub level: Level,
    /// Which requests have a line.
    pub access: Lines,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A human must act.
    Error,
    /// Something is wrong but handled.
    Warn,
    /// One line per request and per event of the process.
    #[default]
    Info,
    /// For troubleshooting.
    Debug,
    /// Everything.
    Trace,
}

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: Option<reload::Handle<EnvFilter, Registry>>,
    audit: bool,
}

/// Starts logging to stderr. Only the gateway's own events pass below `warn`: dependencies would log per frame.
///
/// A second call in one process changes nothing.
pub fn init(config: &Config) -> LogHandle {
    start(config.format, config.level, true)
}

/// Starts logging errors alone, as text: for a terminal that shows something else. As [`init`] otherwise.
pub fn init_quiet() -> LogHandle {
    start(Format::Text, Level::Error, false)
}

fn start(format: Format, level: Level, audit: bool) -> LogHandle {
    let (filter, handle) = reload::Layer::new(filter(level, audit));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !no_color())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        Format::Text => registry.with(layer).try_init(),
    };
    LogHandle { filter: started.is_ok().then_some(handle), audit }
}

// === impl Level ===

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

// === impl LogHandle ===

impl LogHandle {
    /// Sets another level.
    pub fn set_level(&self, level: Level) {
        if let Some(handle) = &self.filter {
            let _ = handle.reload(filter(level, self.audit));
        }
    }
}

/// Whether the user asks for no colours: <https://no-color.org>.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// With `audit`, what was changed, and by whom, is told whatever the level is.
fn filter(level: Level, audit: bool) -> EnvFilter {
    let own = LevelFilter::from(level);
    EnvFilter::new(if audit {
        format!("warn,fedgate={own},{AUDIT}=info")
    } else {
        format!("warn,fedgate={own}")
    })
}
