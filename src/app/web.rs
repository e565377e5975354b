use crate::{
    config::Root,
    webui::{Content, LoadError},
};

/// What the configuration names, read again.
pub(super) fn content(root: &Root) -> Result<Content, LoadError> {
    match &root.web_ui.directory {
        Some(directory) => Content::directory(directory),
        None => Ok(without_files(root)),
    }
}

/// The same, but a file system that hangs is given up.
pub(super) async fn content_in_time(root: &Root) -> Result<Content, LoadError> {
    match &root.web_ui.directory {
        Some(directory) => Content::directory_in_time(directory).await,
        None => Ok(without_files(root)),
    }
}

fn without_files(root: &Root) -> Content {
    let dashboard = root.web_ui.upstream.clone();
    dashboard.map(|dashboard| Content::upstream(dashboard, root.local_cluster.tls())).unwrap_or_default()
}
