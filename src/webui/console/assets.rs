//! The console's files, as they are in the source, and as they are sent.

use bytes::Bytes;

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
    asset!("parts/charts.js"),
    asset!("parts/columns.js"),
    asset!("parts/dialog.js"),
    asset!("parts/export.js"),
    asset!("parts/filterbar.js"),
    asset!("parts/notify.js"),
    asset!("parts/table.js"),
    asset!("parts/toast.js"),
    asset!("shared/filter.js"),
    asset!("shared/records.js"),
    asset!("shared/text.js"),
    asset!("shared/time.js"),
    asset!("style.css"),
    asset!("theme.js"),
];

/// The document of every page; `{assets}` stands for the directory of the files above.
pub(super) const INDEX: &str = include_str!("static/index.html");

/// What is sent of a file: what only a reader of the source needs is left out.
///
/// This is no parser. It relies on what the test below holds the source to: a comment of a script is a line of its own, or
/// a `/** … */` before an expression, and no string or template spans lines or contains either.
pub(super) fn as_sent(path: &str, source: &str) -> Bytes {
    let script = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "js");
    let without = if script { without_blocks(source) } else { source.to_owned() };
    let mut sent = String::with_capacity(without.len());
    for line in without.lines().map(str::trim) {
        if line.is_empty() || (script && line.starts_with("//")) {
            continue;
        }
        sent.push_str(line);
        sent.push('\n');
    }
    sent.into()
}

fn without_blocks(source: &str) -> String {
    let mut left = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("/**") {
        left.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    left.push_str(rest);
    left
}
