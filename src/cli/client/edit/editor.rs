use std::{
    collections::BTreeMap,
    io,
    path::Path,
    process::{Command, ExitStatus},
};

use tokio::{signal::unix::Signal, task::spawn_blocking};

/// The user's editor.
pub(super) struct Editor {
    /// As the environment has it: words, or a command of the shell.
    command: String,
}

// === impl Editor ===

impl Editor {
    /// `$EDITOR`, else `$VISUAL`, else `vi`.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Self {
        let set = |name: &str| environment.get(name).map(|command| command.trim()).filter(|c| !c.is_empty());
        let command = set("EDITOR").or_else(|| set("VISUAL")).unwrap_or("vi");
        Self { command: command.to_owned() }
    }

    /// Runs it on a file. Until it ends, Ctrl-C is for the editor only.
    ///
    /// The error is the line for the user.
    pub(super) async fn run(&self, file: &Path, interrupts: &mut Signal) -> Result<(), String> {
        let mut command = self.command_for(file);
        let mut ended = spawn_blocking(move || command.status());
        let status = loop {
            tokio::select! {
                status = &mut ended => break status,
                _ = interrupts.recv() => {}
            }
        };
        self.outcome(status.unwrap_or_else(|error| Err(io::Error::other(error))))
    }

    /// Plain words are run directly. Everything else is run by the shell, as git and kubectl do.
    fn command_for(&self, file: &Path) -> Command {
        let mut command;
        if self.command.contains(SPECIAL) {
            command = Command::new("sh");
            // With the trap the shell survives a Ctrl-C that its editor survives.
            command.arg("-c").arg(format!("trap : INT\n{} \"$@\"", self.command)).arg("sh");
        } else {
            let mut words = self.command.split_whitespace();
            command = Command::new(words.next().unwrap_or_default());
            command.args(words);
        }
        command.arg(file);
        command
    }

    fn outcome(&self, status: io::Result<ExitStatus>) -> Result<(), String> {
        let editor = &self.command;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) if self.command.contains(SPECIAL) && matches!(status.code(), Some(126 | 127)) => {
                Err(format!("cannot start editor {editor}: set EDITOR to one that is installed"))
            }
            Ok(status) => Err(format!("nothing was saved: editor {editor} ended with {status}")),
            Err(error) => {
                Err(format!("cannot start editor {editor}: {error}: set EDITOR to one that is installed"))
            }
        }
    }
}

/// Characters with a meaning to the shell, other than white space.
const SPECIAL: [char; 22] = [
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', '\n', '*', '?', '[', ']', '#', '~', '=',
    '%', '!',
];
