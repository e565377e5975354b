use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};

use super::TlsError;

/// The CA certificates of a file.
pub(super) struct Bundle {
    pub(super) roots: RootCertStore,
    pub(super) certs: Vec<CertificateDer<'static>>,
    /// What is wrong with those that are left out, by their place in the file.
    pub(super) unreadable: Vec<String>,
}

// === impl Bundle ===

impl Bundle {
    /// Takes what can be read, at least one. Bundles live long and gather certificates that not every library reads; the
    /// others must not fail with them. `path` is for messages only.
    ///
    /// # Errors
    /// A text that breaks off is not used at all: it may still be being written.
    pub(super) fn read(text: &[u8], path: &Path) -> Result<Self, TlsError> {
        let mut bundle = Self { roots: RootCertStore::empty(), certs: Vec::new(), unreadable: Vec::new() };
        let mut first = None;
        for (place, read) in (1..).zip(CertificateDer::pem_slice_iter(text)) {
            let error = match read {
                Ok(cert) => match bundle.roots.add(cert.clone()) {
                    Ok(()) => {
                        bundle.certs.push(cert);
                        continue;
                    }
                    Err(source) => TlsError::Ca { path: path.to_owned(), source },
                },
                Err(error @ pem::Error::MissingSectionEnd { .. }) => return Err(pem_error(path, error)),
                Err(error) => pem_error(path, error),
            };
            if bundle.unreadable.len() < MAX_UNREADABLE {
                bundle.unreadable.push(format!("certificate {place}: {}", error.reason()));
            }
            first.get_or_insert(error);
        }
        match first {
            _ if !bundle.certs.is_empty() => Ok(bundle),
            Some(error) => Err(error),
            None => Err(TlsError::Empty { path: path.to_owned() }),
        }
    }
}

fn pem_error(path: &Path, error: pem::Error) -> TlsError {
    TlsError::Pem { path: path.to_owned(), error }
}

/// How many are named; a file that is no bundle at all must not fill the log.
const MAX_UNREADABLE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn ca() -> String {
        rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem()
    }

    fn block(base64: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    }

    fn read(text: &str) -> Result<Bundle, TlsError> {
        Bundle::read(text.as_bytes(), Path::new("/ca.pem"))
    }

    #[test]
    fn an_unreadable_certificate_is_left_out_and_named_wherever_it_stands() {
        let misspelt = "-----BEGIN CERTIFICATE---\nAAAA\n".to_owned();
        for bad in [block("!"), block("AAAA"), block(""), misspelt] {
            for (text, place) in [
                (format!("{bad}{}{}", ca(), ca()), 1),
                (format!("{}{bad}{}", ca(), ca()), 2),
                (format!("{}{}{bad}", ca(), ca()), 3),
            ] {
                let bundle = read(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!((bundle.certs.len(), bundle.roots.len()), (2, 2), "{text}");
                let [said] = &bundle.unreadable[..] else { panic!("{:?}", bundle.unreadable) };
                assert!(said.starts_with(&format!("certificate {place}: ")), "{said}");
            }
        }
    }

    #[test]
    fn a_bundle_without_any_usable_certificate_or_that_breaks_off_is_refused() {
        assert!(matches!(read(&block("!")), Err(TlsError::Pem { .. })));
        assert!(matches!(read(&block("AAAA")), Err(TlsError::Ca { .. })));
        assert!(matches!(read(""), Err(TlsError::Empty { .. })));
        let whole = ca();
        let (cut, _) = whole.split_at(whole.len() / 2);
        assert!(matches!(read(&format!("{}{cut}", ca())), Err(TlsError::Pem { .. })));
    }

    #[test]
    fn a_file_that_is_no_bundle_does_not_fill_the_log() {
        let bundle = read(&format!("{}{}", block("!").repeat(1000), ca())).unwrap();
        assert_eq!(bundle.unreadable.len(), MAX_UNREADABLE);
    }
}
