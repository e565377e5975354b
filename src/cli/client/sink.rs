use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    cli::{Failure, output::print},
    error::{Access, Advice},
};

/// Where a dump goes.
pub(super) enum Sink {
    /// The standard output.
    Standard,
    /// A text, to be shown later.
    Text(String),
    /// A file, which takes the place of another one once it is complete.
    File(NewFile),
}

/// A file that is written next to the one whose place it takes, unless that is a device or a pipe.
pub(super) struct NewFile {
    path: PathBuf,
    temporary: Option<PathBuf>,
    file: BufWriter<File>,
}

// === impl Sink ===

impl Sink {
    /// Opens a file, or takes the standard output when none is named.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        path.map_or(Ok(Self::Standard), |path| NewFile::open(path).map(Self::File))
    }

    /// Whether it is a file, which no terminal interprets.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Writes.
    pub(super) fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Standard => print(text),
            Self::Text(held) => {
                held.push_str(text);
                Ok(())
            }
            Self::File(file) => {
                file.file.write_all(text.as_bytes()).map_err(|error| cannot_write(&file.path, &error))
            }
        }
    }

    /// Puts the file in its place.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        match self {
            Self::Standard | Self::Text(_) => Ok(()),
            Self::File(file) => file.finish(),
        }
    }

    /// The text that it holds.
    pub(super) fn into_text(self) -> String {
        if let Self::Text(held) = self { held } else { String::new() }
    }
}

// === impl NewFile ===

impl NewFile {
    fn open(path: &Path) -> Result<Self, Failure> {
        // What a link points to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_special = fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..)));
        let opened = if is_special {
            OpenOptions::new().write(true).open(&path)
        } else {
            OpenOptions::new().write(true).create_new(true).open(&temporary)
        };
        let file = BufWriter::new(opened.map_err(|error| cannot_write(&path, &error))?);
        Ok(Self { path, temporary: (!is_special).then_some(temporary), file })
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let done = self.file.flush().and_then(|()| match &self.temporary {
            None => Ok(()),
            Some(temporary) => {
                if let Ok(before) = fs::metadata(&self.path) {
                    fs::set_permissions(temporary, before.permissions())?;
                }
                self.file.get_ref().sync_all()?;
                fs::rename(temporary, &self.path)
            }
        });
        done.map_err(|error| cannot_write(&self.path, &error))?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(1, format!("cannot write {}: {error}{}", path.display(), Advice(error, Access::Write)))
}
