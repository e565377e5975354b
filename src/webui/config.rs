use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::types::Backend;

/// `web-ui`: where the files of Sensu's own web UI come from. At most one is set; without any, there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// A built UI: the directory of its `index.html`.
    pub directory: Option<PathBuf>,
    /// The dashboard listener of the local cluster, as `https://host:port`.
    pub upstream: Option<Backend>,
}
