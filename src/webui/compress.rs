//! The compressed forms of files, made once and sent often.

use std::io::{self, Write as _};

use brotli::enc::{BrotliEncoderParams, backward_references::BrotliEncoderMode};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// How much time is spent on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// As small as they get: a fifth of a second for the console.
    Best,
    /// What is saved for little.
    Quick,
}

// === impl Effort ===

impl Effort {
    /// Most bytes that are compressed together. Of a build of Sensu's UI, all that its pages load.
    pub(super) const fn most(self) -> usize {
        match self {
            Self::Best => usize::MAX,
            Self::Quick => 16 << 20,
        }
    }
}

/// The gzip form, when it is worth sending.
pub(super) fn gzip(plain: &[u8], effort: Effort) -> Option<Bytes> {
    let level = match effort {
        Effort::Best => Compression::best(),
        Effort::Quick => Compression::default(),
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let coded = encoder.write_all(plain).and_then(|()| encoder.finish());
    worth_it(plain, coded)
}

/// The Brotli form, when it is worth sending.
pub(super) fn brotli(plain: &[u8], effort: Effort) -> Option<Bytes> {
    // No larger than the file: the memory that it takes to find the best form grows with it.
    let window = plain.len().next_power_of_two().trailing_zeros().clamp(10, 22);
    let params = BrotliEncoderParams {
        quality: match effort {
            Effort::Best => 11,
            Effort::Quick => 5,
        },
        lgwin: window.try_into().unwrap_or(22),
        size_hint: plain.len(),
        mode: BrotliEncoderMode::BROTLI_MODE_TEXT,
        ..BrotliEncoderParams::default()
    };
    let mut coded = Vec::new();
    let written = ::brotli::BrotliCompress(&mut &*plain, &mut coded, &params);
    worth_it(plain, written.map(|_| coded))
}

fn worth_it(plain: &[u8], coded: io::Result<Vec<u8>>) -> Option<Bytes> {
    // What goes wrong in memory is a fault of the coder. The plain form is good in any case.
    let mut coded = coded.ok().filter(|coded| coded.len() + LEAST_SAVED <= plain.len())?;
    coded.shrink_to_fit();
    Some(coded.into())
}

/// Less than its header takes is not worth a second form.
const LEAST_SAVED: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn plain(coded: &[u8], is_gzip: bool) -> Vec<u8> {
        let mut plain = Vec::new();
        if is_gzip {
            flate2::read::GzDecoder::new(coded).read_to_end(&mut plain).unwrap();
        } else {
            ::brotli::Decompressor::new(coded, 4096).read_to_end(&mut plain).unwrap();
        }
        plain
    }

    #[test]
    fn small_files_and_those_without_repetition_stay_as_they_are() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
        for file in [&b""[..], b"short", &noise] {
            assert_eq!((gzip(file, Effort::Quick), brotli(file, Effort::Quick)), (None, None));
        }
    }

    proptest! {
        #[test]
        fn a_form_is_the_same_file_and_smaller(words in proptest::collection::vec("[a-d]{1,6}", 0..400)) {
            let file = words.join(" ").into_bytes();
            for effort in [Effort::Best, Effort::Quick] {
                for (form, is_gzip) in [(gzip(&file, effort), true), (brotli(&file, effort), false)] {
                    let Some(form) = form else { continue };
                    prop_assert!(form.len() < file.len());
                    prop_assert_eq!(&plain(&form, is_gzip), &file);
                }
            }
        }
    }
}
