use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::cli::{Failure, client::saved::write_atomically};

/// The text in a temporary file, which is deleted unless it is kept.
pub(super) struct Draft {
    path: PathBuf,
    /// What was in it at first.
    original: String,
    is_kept: bool,
}

// === impl Draft ===

impl Draft {
    /// A new file that only the user may read, with `word` in its name.
    pub(super) fn new(word: &str, text: &str) -> Result<Self, Failure> {
        let name = format!("fedgate-{word}-{:08x}.yaml", fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let draft = Self { path, original: text.to_owned(), is_kept: false };
        let written = open.and_then(|mut file| file.write_all(text.as_bytes()));
        written
            .map_err(|error| Failure::new(1, format!("cannot write {}: {error}", draft.path.display())))?;
        Ok(draft)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The text as the user left it. The error says why nothing was saved.
    pub(super) fn read(&self) -> Result<String, String> {
        let bytes =
            fs::read(&self.path).map_err(|error| format!("cannot read {}: {error}", self.path.display()))?;
        String::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())
    }

    /// Replaces the text atomically: on a full disk the old text is kept.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        write_atomically(&self.path, text.as_bytes())
    }

    /// Ends with an error, and keeps the file if the user has changed the text.
    pub(super) fn keep(&mut self, code: u8, line: &str) -> Failure {
        self.is_kept = fs::read(&self.path).is_ok_and(|now| now != self.original.as_bytes());
        if self.is_kept {
            Failure::new(code, format!("{line} (your text is kept in {})", self.path.display()))
        } else {
            Failure::new(code, line)
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}
