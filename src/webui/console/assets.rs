//! The console's files, as they are in the source, and as they are sent.

use bytes::Bytes;

use super::compact;

macro_rules! asset {
    ($path:literal) => {
        ($path, include_str!(concat!("static/", $path)))
    };
}

/// Path below the console's assets, and content.
pub(super) const FILES: &[(&str, &str)] = &[
    asset!("app.js"),
    asset!("dom.js"),
    asset!("engine.js"),
    asset!("engine/actions.js"),
    asset!("engine/client.js"),
    asset!("engine/main.js"),
    asset!("engine/query.js"),
    asset!("engine/session.js"),
    asset!("engine/source.js"),
    asset!("engine/store.js"),
    asset!("pages.js"),
    asset!("pages/detail.js"),
    asset!("pages/federation.js"),
    asset!("pages/list.js"),
    asset!("pages/login.js"),
    asset!("pages/overview.js"),
    asset!("parts/actions.js"),
    asset!("parts/cells.js"),
    asset!("parts/charts.js"),
    asset!("parts/columns.js"),
    asset!("parts/dialog.js"),
    asset!("parts/export.js"),
    asset!("parts/filterbar.js"),
    asset!("parts/notify.js"),
    asset!("parts/resource.js"),
    asset!("parts/table.js"),
    asset!("parts/toast.js"),
    asset!("shared/filter.js"),
    asset!("shared/kept.js"),
    asset!("shared/records.js"),
    asset!("shared/text.js"),
    asset!("shared/time.js"),
    asset!("style.css"),
    asset!("theme.js"),
];

/// The document of every page; `{assets}` stands for the directory of the files above.
pub(super) const INDEX: &str = include_str!("static/index.html");

/// What is sent of a file.
pub(super) fn as_sent(path: &str, source: &str) -> Bytes {
    let is_style = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "css");
    if is_style { compact::style(source) } else { compact::script(source) }.into()
}
