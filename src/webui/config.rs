use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::types::Backend;

/// `web-ui`: where the files of Sensu's own web UI come from. At most one place is set; without any, there is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// The gateway's own pages at `/console/`.
    pub console: bool,
    /// A built UI: the directory of its `index.html`.
    pub directory: Option<PathBuf>,
    /// The dashboard listener of the local cluster, as `https://host:port`.
    pub upstream: Option<Backend>,
}

impl Default for Config {
    fn default() -> Self {
        Self { console: true, directory: None, upstream: None }
    }
}
