//! Fragments that contain themselves.
//!
//! A Sensu 6.12 backend that validates such a document recurses until its process dies, so none may reach it: not even
//! in a document that is otherwise not understood. Hence this looks at tokens only.

use std::collections::HashMap;

use apollo_parser::{Lexer, TokenKind};

/// Whether any fragment spreads itself, by whatever way round. Of fragments with one name all spreads count.
pub(super) fn contains_itself(text: &str) -> bool {
    let spreads = spreads(text);
    let mut states: HashMap<&str, State> = HashMap::new();
    for name in spreads.keys() {
        let mut open = vec![(*name, 0)];
        while let Some((name, next)) = open.pop() {
            if next == 0 && states.insert(name, State::Open).is_some_and(|state| state == State::Done) {
                states.insert(name, State::Done);
                continue;
            }
            let below = spreads.get(name).and_then(|names| names.get(next));
            let Some(below) = below else {
                states.insert(name, State::Done);
                continue;
            };
            open.push((name, next + 1));
            match states.get(below) {
                Some(State::Open) => return true,
                Some(State::Done) => {}
                None => open.push((below, 0)),
            }
        }
    }
    false
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Open,
    Done,
}

/// What each fragment spreads.
fn spreads(text: &str) -> HashMap<&str, Vec<&str>> {
    let mut found: HashMap<&str, Vec<&str>> = HashMap::new();
    let (mut depth, mut fragment, mut before) = (0_usize, None, "");
    for token in Lexer::new(text).flatten() {
        let data = token.data();
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof => continue,
            TokenKind::LCurly => depth += 1,
            TokenKind::RCurly => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    fragment = None;
                }
            }
            TokenKind::Name if before == "..." && data != "on" => {
                if let Some(fragment) = fragment {
                    found.entry(fragment).or_default().push(data);
                }
            }
            TokenKind::Name if depth == 0 && before == "fragment" && fragment.is_none() => {
                fragment = Some(data);
            }
            _ => {}
        }
        before = data;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_that_contains_itself_is_found_whatever_is_around_it() {
        for text in [
            "{ ...F } fragment F on Q { ...F }",
            "{ a } fragment F on Q { x { ... on Y { ...G } } } fragment G on Q { ...H } fragment H on Q { ...F }",
            "query A { a } query B { b } fragment F on Q { ...F }",
            "{ ...Missing } fragment F on Q { ... # on\n F }",
            "{ a(: } fragment F on Q { ...F }",
            "fragment F on Q { a } fragment F on Q { ...F } { ...F }",
            "fragment fragment on Q { ...fragment } { a }",
            "fragment query on Q { ...query } { a }",
        ] {
            assert!(contains_itself(text), "{text}");
        }
    }

    #[test]
    fn fragments_that_are_used_often_are_no_cycle() {
        for text in [
            "{ ...F ...F } fragment F on Q { ...G ...G } fragment G on Q { a }",
            "fragment F on Q { a } query F { ...F }",
            "fragment F on Q { a } { ...F }",
            "{ a(text: \"fragment F on Q { ...F }\") }",
            "fragment A on Q { ...C } fragment B on Q { ...C } fragment C on Q { ... on Q { a } }",
        ] {
            assert!(!contains_itself(text), "{text}");
        }
    }
}
