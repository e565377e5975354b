use crate::{
    config::Root,
    webui::{Content, LoadError},
};

/// What the configuration names, read again.
pub(super) fn content(root: &Root) -> Result<Content, LoadError> {
    let web_ui = &root.web_ui;
    let content = match (&web_ui.directory, &web_ui.upstream) {
        (Some(directory), _) => Content::directory(directory)?,
        (None, Some(dashboard)) => Content::upstream(dashboard.clone(), root.local_cluster.tls()),
        (None, None) => Content::default(),
    };
    Ok(content.with_console(web_ui.console))
}
