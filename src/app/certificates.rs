//! When the certificates in use expire, for the metrics page.

use crate::{
    net::{CertificateFile, certificates_in_use},
    telemetry::metrics::{Registry, collect},
};

/// Registers `fedgate_certificate_expiry_timestamp_seconds`.
pub(super) fn register_metrics(families: &mut Registry) {
    collect(families, |families| {
        let files = certificates_in_use();
        families.gauges(
            "certificate_expiry_timestamp_seconds",
            "The end of validity of each certificate in use.",
            samples(files.iter()),
        )
    });
}

type Labels = [(&'static str, String); 4];

/// One for each certificate of each file. The same file may have been read at different times, so that what is still in
/// use differs; what is the same in both is said once.
fn samples<'a>(files: impl Iterator<Item = &'a CertificateFile>) -> Vec<(Labels, i64)> {
    let mut samples: Vec<_> = files
        .flat_map(|file| {
            file.certificates.iter().map(|certificate| {
                let labels = [
                    ("usage", file.usage.as_str().to_owned()),
                    ("file", file.path.display().to_string()),
                    ("subject", certificate.subject.clone()),
                    ("serial", certificate.serial.clone()),
                ];
                (labels, certificate.not_after)
            })
        })
        .collect();
    samples.sort();
    // Sorted by time within the same labels: a series occurs once, with the time that comes first.
    samples.dedup_by(|(later, _), (earlier, _)| later == earlier);
    samples.truncate(MAX_SAMPLES);
    samples
}

/// Series at most, whatever is registered.
const MAX_SAMPLES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Certificate, Usage};

    #[test]
    fn a_series_occurs_once_however_often_its_file_was_read() {
        let certificate =
            |not_after| Certificate { not_after, subject: "CN=a".to_owned(), serial: "01".to_owned() };
        let file = |certificates| CertificateFile {
            path: "/ca.pem".into(),
            usage: Usage::Ca,
            certificates,
            unreadable: Vec::new(),
        };
        let files = [file(vec![certificate(9)]), file(vec![certificate(5), certificate(9)])];
        let samples = samples(files.iter());
        assert_eq!(samples.len(), 1, "{samples:?}");
        assert_eq!(samples[0].1, 5);
        assert_eq!(samples[0].0[0], ("usage", "ca".to_owned()));
    }
}
