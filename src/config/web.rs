use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::optional_text;
use crate::types::Backend;

/// `web-ui`: where the files of Sensu's own web UI come from. At most one is set; without any, there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct WebUi {
    /// A built UI: the directory of its `index.html`.
    pub directory: Option<PathBuf>,
    /// The dashboard listener of the local cluster, as `https://host:port`.
    #[serde(with = "optional_text")]
    pub upstream: Option<Backend>,
}
