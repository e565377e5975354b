//! `--watch`: a command again and again.

use std::{future::Future, io, pin::pin, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep_until};

use super::{
    http::Gateway,
    options::Format,
    print::Frame,
    time::{now, show},
};
use crate::cli::{
    Failure, INCOMPLETE, UNAVAILABLE,
    look::{Look, Tone, is_capable},
    output::{note, print},
    screen::{Screen, Wish, Wishes},
    text::{fit, terminal_safe, width},
};

/// The option of commands that can be repeated.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Watch {
    /// Show it again every so many seconds, until Ctrl-C
    #[arg(long = "watch", short = 'w', value_name = "SECONDS", value_parser = seconds)]
    every: Option<Duration>,
}

/// How a command went once.
pub(super) struct Round {
    /// What there is to see, which may not be all.
    pub(super) frame: Option<Frame>,
    /// How it ended.
    pub(super) done: Result<(), Failure>,
}

/// A command that is repeated on a screen of its own.
struct Live {
    every: Duration,
    title: String,
    wishes: Wishes,
    screen: Option<Screen>,
    frame: Option<Frame>,
    /// When the frame was made.
    at: i64,
    error: Option<String>,
}

// === impl Round ===

impl Round {
    /// What a failure before there was anything to see makes of it.
    pub(super) fn of(frame: Result<Frame, Failure>) -> Self {
        match frame {
            Ok(frame) => Self { frame: Some(frame), done: Ok(()) },
            Err(failure) => Self { frame: None, done: Err(failure) },
        }
    }

    /// Whether to try again is of no use: what is wrong is how the command was called.
    fn is_hopeless(&self) -> bool {
        let reason = self.done.as_ref().err().map(|failure| failure.code);
        self.frame.is_none() && reason.is_some_and(|code| ![UNAVAILABLE, INCOMPLETE].contains(&code))
    }
}

// === impl Watch ===

impl Watch {
    /// Whether the command is to be repeated.
    pub(super) fn is_on(self) -> bool {
        self.every.is_some()
    }

    /// Shows a command once, or again and again: on a screen of its own where the output is a terminal and a table, else
    /// one after another.
    pub(super) async fn run(
        self,
        gateway: &Gateway,
        format: Format,
        title: &str,
        round: impl AsyncFn() -> Round,
    ) -> Result<(), Failure> {
        let Some(every) = self.every else {
            let Round { frame, done } = Box::pin(round()).await;
            let shown = frame.map_or(Ok(()), |frame| print(&frame(&Look::stdout())));
            // A caller that only reads the exit code may close the standard output.
            return match (done, shown) {
                (Err(failure), shown) if shown.as_ref().err().is_none_or(Failure::is_quiet) => Err(failure),
                (_, shown) => shown,
            };
        };
        if format == Format::Tabular && is_capable(&io::stdout()) {
            let title = format!("Every {} s: {title}", every.as_secs_f64());
            Live::new(every, title)?.run(gateway, round).await
        } else {
            append(every, format, round).await
        }
    }
}

/// One round after another, each table under its time. Other formats are documents in a stream.
async fn append(every: Duration, format: Format, round: impl AsyncFn() -> Round) -> Result<(), Failure> {
    let mut is_first = true;
    loop {
        let start = Instant::now();
        let found = Box::pin(round()).await;
        if is_first && found.is_hopeless() {
            return found.done;
        }
        if let Some(frame) = &found.frame {
            let text = frame(&Look::stdout());
            match format {
                Format::Tabular if is_first => print(&format!("{}\n{text}", show(now())))?,
                Format::Tabular => print(&format!("\n{}\n{text}", show(now())))?,
                _ => print(&text)?,
            }
        }
        if let Err(failure) = found.done {
            note(failure.line);
        }
        is_first = false;
        sleep_until(start + every).await;
    }
}

// === impl Live ===

impl Live {
    fn new(every: Duration, title: String) -> Result<Self, Failure> {
        let wishes = Wishes::listen()?;
        Ok(Self { every, title, wishes, screen: None, frame: None, at: now(), error: None })
    }

    async fn run(mut self, gateway: &Gateway, round: impl AsyncFn() -> Round) -> Result<(), Failure> {
        loop {
            let start = Instant::now();
            let found = self.during(Box::pin(round())).await?;
            if self.screen.is_none() {
                if found.is_hopeless() {
                    return found.done;
                }
                gateway.progress().hush();
                self.screen = Some(Screen::take());
            }
            self.error = found.done.err().map(|failure| failure.line);
            if let Some(frame) = found.frame {
                (self.frame, self.at) = (Some(frame), now());
            }
            self.draw();
            self.during(sleep_until(start + self.every)).await?;
        }
    }

    /// Does something while the wishes of the user are heeded.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut work = pin!(work);
        loop {
            let wish = tokio::select! {
                done = &mut work => return Ok(done),
                wish = self.wishes.next() => wish,
            };
            match (wish, &self.screen) {
                (Wish::End(code), _) => return Err(Failure::new(code, "")),
                (Wish::Stop, Some(screen)) => screen.stop(),
                (Wish::Stop | Wish::Draw, _) => {}
            }
            self.draw();
        }
    }

    fn draw(&self) {
        let Some(screen) = &self.screen else { return };
        let look = Look::stdout();
        let mut text = head(&self.title, &show(self.at), look);
        if let Some(error) = &self.error {
            let line = terminal_safe(error);
            let line = look.width.map_or_else(|| line.clone(), |columns| fit(&line, columns));
            text.extend([&look.paint(&line, Some(Tone::Bad)), "\n"]);
        }
        text.push('\n');
        if let Some(frame) = &self.frame {
            text.push_str(&frame(&look));
        }
        screen.draw(&text, &look);
    }
}

/// The title, and at the right edge when it was true.
fn head(title: &str, time: &str, look: Look) -> String {
    let title = terminal_safe(title);
    let room = look.width.map_or(usize::MAX, |columns| columns.saturating_sub(time.len() + 2));
    let title = fit(&title, room);
    let gap = look.width.map_or(2, |columns| columns.saturating_sub(width(&title) + time.len()).max(1));
    format!("{}{:gap$}{time}\n", look.paint(&title, Some(Tone::Heading)), "")
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.strip_suffix('s').unwrap_or(text).parse().map_err(|_| SECONDS.to_owned())?;
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        return Err(SECONDS.to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

const SECONDS: &str = "it must be a number of seconds from 0.1 to 86400";
/// More often, it is a load.
const SHORTEST: f64 = 0.1;
const LONGEST: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_number_within_reason() {
        for (text, millis) in [("2", 2000), ("0.5", 500), ("2s", 2000), ("86400", 86_400_000)] {
            assert_eq!(seconds(text).unwrap(), Duration::from_millis(millis));
        }
        for bad in ["", "0", "-1", "nan", "inf", "1e9", "check", "1m", "0.01"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_head_fits_the_screen() {
        let look = |columns| Look { width: Some(columns), ..Look::default() };
        assert_eq!(head("Every 2 s: a", "now", look(20)), "Every 2 s: a     now\n");
        assert_eq!(
            head("Every 2 s: a", "now", look(10)),
            "Every…  now\n".replace("Every…  now", "Ever…  now")
        );
        assert_eq!(head("Every 2 s: a", "now", Look::default()), "Every 2 s: a  now\n");
    }
}
