//! Fragments that contain themselves.
//!
//! A Sensu 6.12 backend that validates such a document recurses until its process crashes, so none may reach it, not even
//! one that does not parse. That is why only tokens are inspected here.

use std::collections::HashMap;

use apollo_parser::{Token, TokenKind};

/// What each fragment spreads, collected token by token. Fragments of the same name are treated as one.
#[derive(Default)]
pub(super) struct Spreads<'a> {
    by_fragment: HashMap<&'a str, Vec<&'a str>>,
    /// How many braces are open.
    depth: usize,
    /// The fragment that is being defined.
    fragment: Option<&'a str>,
    /// The last significant token.
    before: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Still being followed: when it is met again, it contains itself.
    Open,
    Done,
}

// === impl Spreads ===

impl<'a> Spreads<'a> {
    pub(super) fn see(&mut self, token: &Token<'a>) {
        let data = token.data();
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof => return,
            TokenKind::LCurly => self.depth += 1,
            TokenKind::RCurly => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.fragment = None;
                }
            }
            TokenKind::Name if self.before == "..." && data != "on" => {
                if let Some(fragment) = self.fragment {
                    self.by_fragment.entry(fragment).or_default().push(data);
                }
            }
            TokenKind::Name if self.depth == 0 && self.before == "fragment" && self.fragment.is_none() => {
                self.fragment = Some(data);
            }
            _ => {}
        }
        self.before = data;
    }

    /// Whether any fragment spreads itself, directly or through others.
    pub(super) fn have_a_cycle(&self) -> bool {
        let mut states: HashMap<&str, State> = HashMap::new();
        for start in self.by_fragment.keys() {
            if states.contains_key(start) {
                continue;
            }
            states.insert(start, State::Open);
            // A path from the start, with the next spread to follow from each.
            let mut way = vec![(*start, 0)];
            while let Some((name, next)) = way.last_mut() {
                let Some(below) = self.by_fragment.get(name).and_then(|names| names.get(*next)) else {
                    states.insert(name, State::Done);
                    way.pop();
                    continue;
                };
                *next += 1;
                match states.get(below) {
                    Some(State::Open) => return true,
                    Some(State::Done) => {}
                    None => {
                        states.insert(below, State::Open);
                        way.push((below, 0));
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use apollo_parser::Lexer;

    use super::*;

    fn has_cycle(text: &str) -> bool {
        let mut spreads = Spreads::default();
        Lexer::new(text).flatten().for_each(|token| spreads.see(&token));
        spreads.have_a_cycle()
    }

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
            assert!(has_cycle(text), "{text}");
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
            assert!(!has_cycle(text), "{text}");
        }
    }
}
