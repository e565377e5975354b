use crate::{
    config::Root,
    webui::{Content, LoadError},
};

/// What the configuration names, read again.
pub(super) fn content(root: &Root) -> Result<Content, LoadError> {
    let content = match &root.web_ui.directory {
        Some(directory) if root.compression.web_ui => Content::directory(directory)?.compressed(),
        Some(directory) => Content::directory(directory)?,
        None => without_files(root),
    };
    Ok(content.with_console(root.web_ui.console))
}

/// The same, but a file system that hangs is given up.
pub(super) async fn content_in_time(root: &Root) -> Result<Content, LoadError> {
    let content = match &root.web_ui.directory {
        Some(directory) => Content::directory_in_time(directory, root.compression.web_ui).await?,
        None => without_files(root),
    };
    Ok(content.with_console(root.web_ui.console))
}

fn without_files(root: &Root) -> Content {
    let dashboard = root.web_ui.upstream.clone();
    dashboard.map(|dashboard| Content::upstream(dashboard, root.local_cluster.tls())).unwrap_or_default()
}
