//! What a request changes, for the audit log.

use apollo_parser::{Lexer, TokenKind};

use super::{
    request::{self, Incoming, Operation},
    strings,
};

/// The names of the mutations that a body asks for, as far as they can be read; none for a body of queries. Judges the
/// text alone, so that it is the same whether a cluster understands it or not.
pub fn mutations(body: &[u8]) -> Vec<String> {
    if memchr::memmem::find(body, b"mutation").is_none() && memchr::memmem::find(body, b"\\u").is_none() {
        return Vec::new();
    }
    let operations = match request::read(body) {
        Incoming::One(operation) => vec![operation],
        Incoming::Many(operations) => operations,
        Incoming::Other => Vec::new(),
    };
    let mut names: Vec<String> = operations.iter().flat_map(of_operation).collect();
    names.truncate(MOST);
    names
}

fn of_operation(operation: &Operation<'_>) -> Vec<String> {
    let document = strings::masked(&operation.query);
    let mut names = Vec::new();
    let (mut braces, mut others) = (0_usize, 0_usize);
    let (mut is_mutation, mut before) = (false, "");
    for token in Lexer::new(&document).flatten() {
        let data = token.data();
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof => continue,
            TokenKind::LCurly if others == 0 => braces += 1,
            TokenKind::RCurly if others == 0 => braces = braces.saturating_sub(1),
            TokenKind::LParen | TokenKind::LBracket => others += 1,
            TokenKind::RParen | TokenKind::RBracket => others = others.saturating_sub(1),
            TokenKind::Name if braces == 0 && others == 0 => match data {
                "mutation" if before != "fragment" && before != "query" => is_mutation = true,
                "query" | "subscription" | "fragment" if before != "mutation" => is_mutation = false,
                _ => {}
            },
            TokenKind::Name if is_mutation && braces == 1 && others == 0 && before != "@" => {
                // A fragment's fields are not looked up.
                let lead = if before == "..." { "..." } else { "" };
                names.push(format!("{lead}{}", data.chars().take(LONGEST).collect::<String>()));
            }
            // What it follows was an alias.
            TokenKind::Colon if is_mutation && braces == 1 && others == 0 => drop(names.pop()),
            _ => {}
        }
        before = data;
        if names.len() > MOST {
            break;
        }
    }
    names
}

/// Most names that are told.
const MOST: usize = 20;

/// Longest name, in characters.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> Vec<String> {
        mutations(serde_json::json!({ "query": query }).to_string().as_bytes())
    }

    #[test]
    fn queries_change_nothing() {
        for query in [
            "{ viewer { username } }",
            "query mutation { viewer { username } }",
            "query Q($mutation: String) { check(name: \"mutation { deleteCheck }\") { name } }",
            "subscription { mutation }",
            "fragment mutation on Check { name } { viewer { username } }",
        ] {
            assert_eq!(found(query), Vec::<String>::new(), "{query}");
        }
        assert_eq!(mutations(b"not JSON mutation"), Vec::<String>::new());
    }

    #[test]
    fn mutations_are_named_by_their_fields() {
        for (query, names) in [
            ("mutation { deleteCheck(input: {id: \"x\"}) { errors { code } } }", vec!["deleteCheck"]),
            (
                "mutation M($a: [In!]! = [{b: 1}]) @x(y: {z: 1}) { one: deleteCheck(input: $a) @skip(if: false) { c } two: putWrapped { d } }",
                vec!["deleteCheck", "putWrapped"],
            ),
            ("fragment F on Mutation { deleteCheck } mutation { ...F }", vec!["...F"]),
            ("query Q { a } mutation mutation { deleteEvent }", vec!["deleteEvent"]),
        ] {
            assert_eq!(found(query), names, "{query}");
        }
        let list = br#"[{"query":"{a}"},{"query":"mutation { a }"},{"query":"\u006dutation { b }"}]"#;
        assert_eq!(mutations(list), ["a", "b"]);
    }

    #[test]
    fn names_are_bounded() {
        let many = format!("mutation {{ {} }}", "x".repeat(1000));
        assert_eq!(found(&many)[0].len(), LONGEST);
        let many = format!("mutation {{ {} }}", "x ".repeat(1000));
        assert_eq!(found(&many).len(), MOST);
    }
}
