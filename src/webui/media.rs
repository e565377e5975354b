//! What a file's name reveals: its media type, and whether it may be cached forever.

/// The media type by extension; unknown ones are downloaded.
pub(super) fn of(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// Whether a build tool has put a hash of the content into the name: `main.8d2f9c01.js`, or as Sensu's UI has it,
/// `app_8d2f.js` and `vendors~app_8d2f.js.map`. Only where build tools put such files, since a wrong guess would be
/// kept by browsers for a year.
pub(super) fn has_content_hash(path: &str) -> bool {
    let Some((directories, name)) = path.rsplit_once('/') else { return false };
    if !matches!(directories.split('/').next(), Some("static" | "assets")) {
        return false;
    }
    let is_hash = |word: &str| word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let long = name
        .split(['.', '_', '-', '~'])
        .skip(1)
        .any(|word| word.len() >= 8 && is_hash(word) && word.bytes().any(|b| b.is_ascii_digit()));
    let stem = name.split('.').next().unwrap_or_default();
    let short = matches!(directories, "static/js" | "static/media")
        && stem.rsplit_once('_').is_some_and(|(_, hash)| hash.len() == 4 && is_hash(hash));
    long || short
}

const TYPES: [(&str, &str); 25] = [
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("eot", "application/vnd.ms-fontobject"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("otf", "font/otf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
];
