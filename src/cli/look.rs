//! How output is to look: on a terminal it has colors and fits the width, elsewhere it is exact.

use std::{borrow::Cow, env, fmt, io::IsTerminal as _};

use anstyle::{AnsiColor, Style};
use rustix::{fd::AsFd, termios::tcgetwinsize};

/// What the reader of an output can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Colors are welcome.
    pub(super) color: bool,
    /// Columns of the terminal; `None` elsewhere, where nothing is cut.
    pub(super) width: Option<usize>,
    /// A person reads it, to whom words say more than numbers.
    pub(super) words: bool,
}

/// What a text says about what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// All is well.
    Good,
    /// Somebody should look.
    Warning,
    /// Something is broken.
    Bad,
    /// Nobody knows.
    Unknown,
    /// It matters little.
    Dim,
    /// A heading.
    Heading,
}

// === impl Look ===

impl Look {
    /// That of the standard output.
    pub(super) fn stdout() -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        Self {
            color: wants_color(is_terminal),
            width: is_terminal.then(|| columns(&stdout)).flatten(),
            words: is_terminal,
        }
    }

    /// A text in the color of its tone.
    pub(super) fn paint(self, text: &str, tone: Option<Tone>) -> Cow<'_, str> {
        match tone {
            Some(tone) if self.color && !text.is_empty() => {
                let style = tone.style();
                format!("{style}{text}{style:#}").into()
            }
            _ => text.into(),
        }
    }
}

// === impl Tone ===

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Unknown => AnsiColor::Magenta.on_default(),
            Self::Dim => Style::new().dimmed(),
            Self::Heading => Style::new().bold(),
        }
    }
}

/// Whether it is a terminal that understands escape sequences.
pub(super) fn is_capable(output: &impl std::io::IsTerminal) -> bool {
    output.is_terminal() && anstyle_query::term_supports_color()
}

/// By the conventions that also clap follows: `NO_COLOR` (no-color.org) before `CLICOLOR_FORCE` before `CLICOLOR`.
fn wants_color(is_terminal: bool) -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    let by_terminal = is_terminal && anstyle_query::term_supports_color();
    anstyle_query::clicolor_force() || (by_terminal && anstyle_query::clicolor().unwrap_or(true))
}

/// As the terminal says, or as its user does where it says nothing.
pub(super) fn columns(terminal: &impl AsFd) -> Option<usize> {
    let told = tcgetwinsize(terminal).ok().map(|size| usize::from(size.ws_col));
    let by_user = || env::var("COLUMNS").ok()?.parse().ok();
    told.filter(|columns| *columns > 0).or_else(by_user).filter(|columns| *columns > 0)
}

/// A list of names as people write it: `a, b and c`.
pub(super) fn listed(names: &[impl fmt::Display]) -> String {
    match names {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_tone_is_painted_and_only_in_color() {
        let color = Look { color: true, ..Look::default() };
        assert_eq!(color.paint("down", Some(Tone::Bad)), "\u{1b}[1m\u{1b}[31mdown\u{1b}[0m");
        assert_eq!(color.paint("down", None), "down");
        assert_eq!(color.paint("", Some(Tone::Bad)), "");
        assert_eq!(Look::default().paint("down", Some(Tone::Bad)), "down");
    }

    #[test]
    fn names_are_listed_as_people_write_them() {
        assert_eq!(listed(&["a"; 0]), "");
        assert_eq!(
            [listed(&["a"]), listed(&["a", "b"]), listed(&["a", "b", "c"])],
            ["a", "a and b", "a, b and c"]
        );
    }
}
