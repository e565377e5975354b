//! Until when the certificates that a configuration names are valid.

use std::time::{SystemTime, UNIX_EPOCH};

use super::row::Row;
use crate::{
    config::Root,
    net::{CertificateFile, ClientFiles, Usage, certificates_in_use, in_time},
    types::{TlsFiles, rfc3339},
};

/// One row for each certificate, and one for each bundle of which a part is left out. Whether the files can be read at all
/// is checked where they are used.
pub(super) async fn rows(root: &Root) -> Vec<Row> {
    // Listed as long as these exist.
    let mut held = Vec::new();
    for files in client_files(root) {
        let loaded = in_time(move || ClientFiles::read(&files)?.config(b"http/1.1")).await;
        held.extend(loaded.into_iter().flatten());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    certificates_in_use().iter().flat_map(|file| file_rows(file, now)).collect()
}

fn client_files(root: &Root) -> Vec<TlsFiles> {
    let over_tls = |backends: &[crate::types::Backend]| backends.iter().any(|backend| backend.tls);
    let snapshot = root.snapshot();
    let clusters = snapshot.iter().filter(|cluster| over_tls(&cluster.backends)).map(|c| c.tls.clone());
    let (store, source) = (&root.store.etcd, &root.replication.source);
    let etcds = [(&store.endpoints, store.tls()), (&source.endpoints, source.tls())];
    clusters
        .chain(etcds.into_iter().filter(|(endpoints, _)| over_tls(endpoints)).map(|(_, files)| files))
        .collect()
}

fn file_rows(file: &CertificateFile, now: i64) -> Vec<Row> {
    let path = file.path.display();
    let mut rows = Vec::new();
    if !file.unreadable.is_empty() {
        let text = format!("left out, the others are used: {}", file.unreadable.join("; "));
        rows.push(Row::new(format_args!("CA bundle {path}"), Ok(text)));
    }
    // One expired CA among others is what a rotation looks like.
    let any_valid = file.certificates.iter().any(|certificate| certificate.not_after > now);
    for certificate in &file.certificates {
        let until = rfc3339::format(certificate.not_after).unwrap_or_default();
        let days = (certificate.not_after - now) / DAY;
        let result = match days {
            _ if certificate.not_after > now && days >= SOON => Ok(format!("valid until {until}")),
            _ if certificate.not_after > now => Ok(format!("expires in {days} days, on {until}: renew it")),
            _ if file.usage == Usage::Ca && any_valid => Ok(format!("expired on {until}: remove it")),
            _ => Err(format!("expired on {until}: renew it")),
        };
        rows.push(Row::new(format_args!("expiry {path} {}", certificate.subject), result));
    }
    rows
}

const DAY: i64 = 24 * 3600;

/// Days before its end at which a certificate ought to be renewed.
const SOON: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{check::row::table, look::Look},
        net::Certificate,
    };

    fn shown(usage: Usage, days: &[i64]) -> String {
        let certificate = |days: &i64| Certificate {
            not_after: NOW + days * DAY,
            subject: format!("CN={days}"),
            serial: String::new(),
        };
        let certificates = days.iter().map(certificate).collect();
        let unreadable = vec!["certificate 2: a block is not base64".to_owned()];
        table(
            &file_rows(&CertificateFile { path: "/f".into(), usage, certificates, unreadable }, NOW),
            Look::default(),
        )
    }

    #[test]
    fn an_expired_certificate_fails_unless_it_is_one_of_several_cas() {
        let lines = shown(Usage::Ca, &[-1, 29, 400]);
        for line in [
            "works  CA bundle /f      left out, the others are used: certificate 2: a block is not base64",
            "works  expiry /f CN=-1   expired on 2026-11-29T00:00:00Z: remove it",
            "works  expiry /f CN=29   expires in 29 days, on 2026-12-29T00:00:00Z: renew it",
            "works  expiry /f CN=400  valid until 2028-01-04T00:00:00Z",
        ] {
            assert!(lines.contains(line), "{lines}");
        }
        let expired = "FAILS  expiry /f CN=-1  expired on 2026-11-29T00:00:00Z: renew it";
        for usage in [Usage::Ca, Usage::Client, Usage::Server] {
            assert!(shown(usage, &[-1]).contains(expired), "{usage:?}");
        }
        assert!(shown(Usage::Server, &[-1, 400]).contains("FAILS"));
    }

    /// 2026-11-30T00:00:00Z
    const NOW: i64 = 1_795_996_800;
}
