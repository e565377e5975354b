//! For fuzzing: what Sensu makes of a name, written for this purpose alone, after Go's `encoding/json` and `path` and the lexer
//! of graphql-go. Nothing here is shared with the code under test.

/// A request with a name made of `data` in some place, and whether Sensu would leave the namespace `mine` with it.
pub(super) fn request(place: u8, data: &[u8]) -> (Vec<u8>, bool) {
    let piece = |byte: &u8| PIECES[usize::from(*byte) % PIECES.len()];
    let name: Vec<u8> = data.iter().take(24).map(piece).collect::<Vec<_>>().concat();
    let with = |before: &str, after: &str| [before.as_bytes(), &name, after.as_bytes()].concat();
    let json = json_text(&name);
    let variable = r#"{"query":"query($n:String){check(namespace:\"mine\",name:$n){id}}","variables":{"n":""#;
    match place % 8 {
        0 => {
            let body = with(r#"{"query":"{check(namespace:\"mine\",name:\""#, r#"\"){id}}"}"#);
            (body, literal_text(&json).is_some_and(|name| leaves(&["mine", &name])))
        }
        1 => (with(variable, "\"}}"), leaves(&["mine", &json])),
        2 => {
            let body = with(r#"{"query":"{check(namespace:\""#, r#"\",name:\"other/x\"){id}}"}"#);
            (
                body,
                literal_text(&json).is_some_and(|namespace| !namespace.is_empty() && leaves(&[&namespace])),
            )
        }
        3 => {
            let body =
                with(r#"{"query":"query($n:String=\""#, r#"\"){check(namespace:\"mine\",name:$n){id}}"}"#);
            (body, literal_text(&json).is_some_and(|name| leaves(&["mine", &name])))
        }
        4 => {
            let body = with(r#"{"query":"{node(id:\"srn:checks:mine:"#, r#"\"){id}}"}"#);
            (body, literal_text(&json).is_some_and(|last| leaves(&["mine", &unique(&last)])))
        }
        5 => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let list = [b"[\"".as_slice(), &name, b"\",\"c\"]"].concat();
            let id = STANDARD.encode(list);
            let body = format!("{{\"query\":\"{{node(id:\\\"srn:events:mine:check/{id}\\\"){{id}}}}\"}}");
            // Base64 has slashes of its own, at which Sensu cuts.
            (body.into_bytes(), !id.contains('/') && leaves(&["mine", &json, "c"]))
        }
        6 => {
            let body = with(r#"{"query":"{check(namespace:\"mine\",name:\"\"\""#, r#"\"\"\"){id}}"}"#);
            let bad = json.chars().any(|c| c < ' ' && !matches!(c, '\t' | '\n' | '\r'));
            // Of a single line nothing is cut off, unless it is blank.
            let blank = json.chars().all(|c| matches!(c, ' ' | '\t'));
            (body, !bad && !blank && json.lines().count() == 1 && leaves(&["mine", &json]))
        }
        _ => {
            let body = with(r#"{"x":""#, r#"","query":"{check(namespace:\"mine\",name:\"../b/c\"){id}}"} x"#);
            (body, true)
        }
    }
}

/// Whether the store key of these parts, below the prefix of its kind, is outside of the first part's namespace.
fn leaves(parts: &[&str]) -> bool {
    let key = clean(&format!("/kind/{}", parts.join("/")));
    let names = &parts[1..];
    let inside = if names.is_empty() { "/kind/" } else { "/kind/mine/" };
    !key.starts_with(inside) && (names.is_empty() || names.iter().any(|name| !name.is_empty()))
}

/// Go's `path.Clean` of a rooted path.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

/// The unique component of an id's last part: `url.PathUnescape` of its second piece, or of its only one.
fn unique(last: &str) -> String {
    let last = last.rfind('?').map_or(last, |at| &last[..at]);
    let pieces: Vec<&str> = last.split('/').collect();
    let piece = pieces.get(1).unwrap_or(&pieces[0]).as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < piece.len() {
        if piece[at] == b'%' {
            let digits = piece.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let Some(byte) = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                return String::new();
            };
            out.push(byte);
            at += 3;
        } else {
            out.push(piece[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A JSON string's text, as Go decodes it.
fn json_text(raw: &[u8]) -> String {
    unescape(&String::from_utf8_lossy(raw), true).unwrap_or_default()
}

/// A quoted literal's text, as graphql-go reads it. Nothing where it reports an error.
fn literal_text(source: &str) -> Option<String> {
    let bad = source.chars().any(|c| c < ' ' && c != '\t');
    if bad { None } else { unescape(source, false) }
}

/// Both know the same escapes; only JSON's decoder joins surrogates.
fn unescape(source: &str, joins: bool) -> Option<String> {
    let units = |at: usize, all: &[char]| -> Option<u32> {
        let digits: String = all.get(at..at + 4)?.iter().collect();
        u32::from_str_radix(&digits, 16).ok()
    };
    let all: Vec<char> = source.chars().collect();
    let mut text = String::new();
    let mut at = 0;
    while at < all.len() {
        if all[at] != '\\' {
            text.push(all[at]);
            at += 1;
            continue;
        }
        match *all.get(at + 1)? {
            'u' => {
                let code = units(at + 2, &all)?;
                let low = if all.get(at + 6) == Some(&'\\') && all.get(at + 7) == Some(&'u') {
                    units(at + 8, &all)
                } else {
                    None
                };
                match (code, low) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) if joins => {
                        text.extend(char::from_u32(0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00)));
                        at += 6;
                    }
                    _ => text.push(char::from_u32(code).unwrap_or('\u{fffd}')),
                }
                at += 6;
                continue;
            }
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            c @ ('"' | '/' | '\\') => text.push(c),
            _ => return None,
        }
        at += 2;
    }
    Some(text)
}

/// What names are made of, as bytes of a JSON string.
const PIECES: &[&[u8]] = &[
    b"..",
    b"/",
    b"../",
    b"/..",
    b"/../../other/x",
    b".",
    b"a",
    b"mine",
    b"other",
    b"@alpha",
    b":",
    b"?",
    b"%2e",
    b"%2F",
    b"%2f..",
    b"%ff",
    b"%",
    b"\\\\ud800",
    b"\\\\udc00",
    b"\\\\ud83d\\\\ude00",
    b"\\\\u002e",
    b"\\\\u002F",
    b"\\\\/",
    b"\\\\t",
    b"\\\\x",
    b"\\ud800",
    b"\\udfff",
    b"\\ud83d\\ude00",
    b"\\u002e",
    b"\\u002f",
    b"\\/",
    b"\\t",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\xae",
    b"\xc3\xa9",
    b"\x7f",
    b" ",
];
