//! PEM files as editors and shells leave them.

use std::{io, path::Path};

use super::read_file_up_to;

/// Reads a PEM file of at most `max` bytes as [`read_file_up_to`] does, without the byte-order marks before its blocks:
/// readers of PEM would not see a block behind one, and a bundle of joined files has them in its midst.
///
/// # Errors
/// Also for UTF-16, which nobody reads as PEM and which some shells write.
pub fn read_pem(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let bytes = read_file_up_to(path, max)?;
    if UTF_16.iter().any(|start| bytes.starts_with(start)) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is UTF-16 text: save it as UTF-8"));
    }
    Ok(without_marks(bytes))
}

fn without_marks(bytes: Vec<u8>) -> Vec<u8> {
    if memchr::memmem::find(&bytes, MARK).is_none() {
        return bytes;
    }
    let mut kept = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let mut line = line;
        while let Some(rest) = line.strip_prefix(MARK) {
            line = rest;
        }
        kept.extend_from_slice(line);
    }
    kept
}

/// U+FEFF in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// U+FEFF in UTF-16, and what begins a block in it.
const UTF_16: [&[u8]; 4] = [b"\xff\xfe", b"\xfe\xff", b"-\0-\0", b"\0-\0-"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_left_out_at_the_start_of_lines_only() {
        for (text, kept) in [
            ("\u{feff}-----BEGIN", "-----BEGIN"),
            ("\u{feff}\u{feff}a\n\u{feff}b\r\u{feff}c\r\n\u{feff}", "a\nb\rc\r\n"),
            ("a\u{feff}b\n", "a\u{feff}b\n"),
            ("", ""),
        ] {
            assert_eq!(without_marks(text.as_bytes().to_vec()), kept.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn utf_16_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let text = "-----BEGIN CERTIFICATE-----\r\n";
        for (mark, encode) in [
            ("\u{feff}", u16::to_le_bytes as fn(u16) -> [u8; 2]),
            ("\u{feff}", u16::to_be_bytes),
            ("", u16::to_le_bytes),
            ("", u16::to_be_bytes),
        ] {
            let units = format!("{mark}{text}");
            std::fs::write(&path, units.encode_utf16().flat_map(encode).collect::<Vec<u8>>()).unwrap();
            let error = read_pem(&path, 1000).unwrap_err();
            assert_eq!(error.to_string(), "it is UTF-16 text: save it as UTF-8");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_marks_is_left_out(text in "(\u{feff}|-----|[a-z=]|\n|\r){0,40}") {
            let kept = String::from_utf8(without_marks(text.as_bytes().to_vec())).unwrap();
            assert_eq!(kept.replace('\u{feff}', ""), text.replace('\u{feff}', ""));
            assert!(!kept.split(['\n', '\r']).any(|line| line.starts_with('\u{feff}')));
        }
    }
}
