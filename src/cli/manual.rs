//! What describes the command line to a shell and to `man`, made from its definition.

use std::{fs, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use super::{Failure, output};
use crate::error::{Access, Advice};

/// `fedgate completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell that is to complete the command
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// `fedgate man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory for a page of each command; without it, the page of fedgate itself is printed
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

// === impl Completions ===

impl Completions {
    pub(super) fn run(&self, mut command: Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}

// === impl Man ===

impl Man {
    pub(super) fn run(&self, command: Command) -> Result<(), Failure> {
        let Some(directory) = &self.directory else {
            let mut page = Vec::new();
            let rendered = Page::new(command).render(&mut page);
            rendered.map_err(|error| Failure::new(1, format!("cannot make the page: {error}")))?;
            return output::print(&String::from_utf8_lossy(&page));
        };
        let written =
            fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory));
        written.map_err(|error| {
            let advice = Advice(&error, Access::Write);
            Failure::new(1, format!("cannot write to {}: {error}{advice}", directory.display()))
        })
    }
}
