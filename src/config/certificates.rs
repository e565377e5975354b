//! The sections with certificate files: the keys are the same in each.

use super::{EtcdSource, EtcdStore, LocalCluster, StaticCluster};
use crate::types::TlsFiles;

macro_rules! certificate_files {
    ($($section:ty),*) => {
        $(impl $section {
            /// The certificate files of its connections.
            pub fn tls(&self) -> TlsFiles {
                TlsFiles {
                    trusted_ca_file: self.trusted_ca_file.clone(),
                    cert_file: self.cert_file.clone(),
                    key_file: self.key_file.clone(),
                    insecure_skip_tls_verify: self.insecure_skip_tls_verify,
                }
            }
        })*
    };
}

certificate_files!(LocalCluster, StaticCluster, EtcdStore, EtcdSource);
