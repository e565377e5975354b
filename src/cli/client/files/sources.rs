//! What the `-f` arguments name: files, directories, URLs and the standard input.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use percent_encoding::percent_decode_str;

use super::{FileError, STANDARD_INPUT, Text};
use crate::cli::client::fetch::{Fetcher, MAX_FILE, is_web_page};

/// The texts of the arguments, and what of them cannot be read.
#[derive(Debug, Default)]
pub(in crate::cli::client) struct Sources {
    /// In order.
    pub(super) texts: Vec<Text>,
    /// One for each.
    pub(super) wrong: Vec<FileError>,
}

/// Reads what the arguments name. As with Sensu's own client, one argument may be several with commas between them.
pub(in crate::cli::client) async fn read(
    arguments: &[String],
    recursive: bool,
    fetcher: &Fetcher,
) -> Sources {
    let mut sources = Sources::default();
    for argument in arguments {
        for name in parts(argument) {
            if let Some(path) = name.strip_prefix("file://") {
                sources.path(&percent_decode_str(path).decode_utf8_lossy(), recursive);
            } else if name.contains("://") {
                let text = fetcher.fetch(name).await;
                sources.add(name, text.map_err(|what| FileError::Fetch { file: name.to_owned(), what }));
            } else {
                sources.path(name, recursive);
            }
        }
    }
    sources
}

/// A file whose name has a comma is that file.
fn parts(argument: &str) -> Vec<&str> {
    if !argument.contains(',') || Path::new(argument).exists() {
        return vec![argument];
    }
    argument.split(',').filter(|part| !part.is_empty()).collect()
}

// === impl Sources ===

impl Sources {
    fn path(&mut self, path: &str, recursive: bool) {
        if path == "-" {
            return self.add(STANDARD_INPUT, text(STANDARD_INPUT, io::stdin().lock()));
        }
        if Path::new(path).is_dir() {
            return self.directory(path, recursive);
        }
        let opened = fs::File::open(path).map_err(|error| FileError::Read { file: path.to_owned(), error });
        self.add(path, opened.and_then(|file| text(path, file)));
    }

    fn add(&mut self, name: &str, text: Result<String, FileError>) {
        match text {
            Ok(text) => self.texts.push(Text { name: name.to_owned(), text }),
            Err(error) => self.wrong.push(error),
        }
    }

    fn directory(&mut self, path: &str, recursive: bool) {
        let before = (self.texts.len(), self.wrong.len());
        let has_directories = self.files_in(path, recursive);
        if before == (self.texts.len(), self.wrong.len()) {
            self.wrong.push(FileError::EmptyDirectory { file: path.to_owned(), has_directories });
        }
    }

    /// Reads the files of a directory by name. Links to files are followed; those to directories are not, which could lead
    /// in a circle. Returns whether there were directories that were not looked into.
    fn files_in(&mut self, directory: &str, recursive: bool) -> bool {
        let listed = fs::read_dir(directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => {
                self.wrong.push(FileError::Read { file: directory.to_owned(), error });
                return false;
            }
        };
        paths.sort();
        let mut has_directories = false;
        for path in paths {
            let is_link = path.is_symlink();
            let Some(name) = path.to_str() else { continue };
            if path.is_dir() {
                if recursive && !is_link {
                    self.files_in(name, recursive);
                }
                has_directories |= !recursive;
            } else if has_extension(&path) {
                self.path(name, false);
            }
        }
        has_directories
    }
}

fn text(name: &str, source: impl Read) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    let done = source.take(MAX_FILE + 1).read_to_end(&mut bytes);
    match done {
        Err(error) => return Err(FileError::Read { file: name.to_owned(), error }),
        Ok(_) if bytes.len() as u64 > MAX_FILE => return Err(FileError::TooLarge(name.to_owned())),
        Ok(_) => {}
    }
    if is_web_page(&bytes, false) {
        return Err(FileError::WebPage(name.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| FileError::Encoding(name.to_owned()))
}

fn has_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| known.eq_ignore_ascii_case(extension))
}
