//! What only a reader of the source needs is left out of what is sent: comments, indentation, spaces around signs, line
//! ends within a statement, parentheses around a name alone, signs after the last of a list or a block, semicolons where
//! the end of the line does as well. Statements stay lines, so
//! that an error's line can be found, and names stay names.

/// A script without its comments and needless spaces.
///
/// It knows where strings, templates and regular expressions end, and no more of the language: a `/` begins a regular
/// expression wherever no value comes before it.
pub(super) fn script(source: &str) -> String {
    let mut sent = String::with_capacity(source.len());
    let mut rest = source;
    // What separates what comes next from what was sent: nothing, a space, or the end of a line.
    let mut gap = "";
    while let Some(first) = rest.chars().next() {
        let token = match first {
            _ if first.is_whitespace() => {
                gap = if first == '\n' || gap == "\n" { "\n" } else { " " };
                rest = &rest[first.len_utf8()..];
                continue;
            }
            '/' if rest.starts_with("//") => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.split_once("*/").map_or("", |(_, after)| after);
                gap = if gap.is_empty() { " " } else { gap };
                continue;
            }
            '"' | '\'' => quoted(rest, first),
            '`' => template(rest),
            '/' if !ends_value(&sent) => regular_expression(rest),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(token);
        match token {
            ")" if unwrap_name(&mut sent) => {}
            _ => push(&mut sent, gap, token),
        }
        (rest, gap) = (after, "");
    }
    sent.push('\n');
    sent
}

/// A style sheet without its comments and needless spaces, in one line; a space in a selector or a calculation has a
/// meaning.
pub(super) fn style(source: &str) -> String {
    let mut sent = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, comment)) = rest.split_once("/*") {
        sent.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    sent.push_str(rest);
    let lines: Vec<&str> = sent.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    SIGNS.iter().fold(lines.join(" "), |text, (long, short)| text.replace(long, short))
}

const SIGNS: [(&str, &str); 7] =
    [(": ", ":"), (", ", ","), (" {", "{"), ("{ ", "{"), ("; ", ";"), (";}", "}"), ("} ", "}")];

fn push(sent: &mut String, gap: &str, token: &str) {
    let (Some(last), Some(next)) = (sent.chars().next_back(), token.chars().next()) else {
        sent.push_str(token);
        return;
    };
    let joins = (is_word(last) && is_word(next)) || (last == next && matches!(next, '+' | '-' | '/'));
    let ends_line = gap == "\n" && !GOES_ON.contains(last) && !GOES_ON_WITH.contains(next);
    let is_needless = match next {
        ')' => last == ',',
        '}' => last == ',' || only_ends(sent),
        // So does the end of the line, before a word that cannot go on with the statement.
        _ => ends_line && is_word(next) && only_ends(sent),
    };
    if is_needless {
        sent.pop();
    }
    if ends_line || (!gap.is_empty() && joins) {
        sent.push_str(gap);
    }
    sent.push_str(token);
}

/// Whether the text so far ends in a semicolon that ends a statement, and is not all that a loop, a condition or an `else`
/// does. In doubt it is that.
fn only_ends(sent: &str) -> bool {
    let line = sent.rsplit('\n').next().unwrap_or_default();
    let of = |sign: char| line.matches(sign).count();
    let is_call = || of('(') == of(')') && !["if(", "for(", "while("].iter().any(|word| line.contains(word));
    sent.ends_with(';') && !sent.ends_with("else;") && (!sent.ends_with(");") || is_call())
}

/// Takes away the parenthesis of a name that stands alone in a pair, as parameters and casts do. Returns whether it did.
fn unwrap_name(sent: &mut String) -> bool {
    let name = sent.trim_end_matches(is_word).len();
    let opens = name < sent.len() && sent[..name].ends_with('(');
    // Of a call or a condition it says what it is.
    let is_number = sent[name..].starts_with(|c: char| c.is_ascii_digit());
    let stands_alone =
        opens && !is_number && sent[..name - 1].ends_with(|sign| "=,(:?![{;&|>".contains(sign));
    if stands_alone {
        sent.remove(name - 1);
    }
    stands_alone
}

/// Signs at the end of a line that no statement ends with.
const GOES_ON: &str = "{([,=&|?:>";
/// Signs at the beginning of a line that no statement begins with.
const GOES_ON_WITH: &str = "})],.=&|?:";

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

/// Whether the text so far ends in a value, so that a `/` divides it.
fn ends_value(sent: &str) -> bool {
    let last = sent.chars().next_back();
    if matches!(last, Some(')' | ']' | '}' | '"' | '\'' | '`')) {
        return true;
    }
    let word = sent.rsplit(|c| !is_word(c)).next().unwrap_or_default();
    last.is_some_and(is_word)
        && !matches!(word, "return" | "typeof" | "case" | "of" | "in" | "yield" | "await")
}

/// The length of a string.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    end_after(text, |c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

/// The length of a regular expression, without its flags.
fn regular_expression(text: &str) -> usize {
    let (mut escaped, mut in_class) = (false, false);
    end_after(text, |c| {
        let ends = c == '/' && !escaped && !in_class;
        match c {
            '[' if !escaped => in_class = true,
            ']' if !escaped => in_class = false,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        ends
    })
}

fn end_after(text: &str, mut ends: impl FnMut(char) -> bool) -> usize {
    text.char_indices().skip(1).find(|(_, c)| ends(*c)).map_or(text.len(), |(at, c)| at + c.len_utf8())
}

/// The length of a template, with the templates in it.
fn template(text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '`' => return at + 1,
            '\\' => at += 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            '$' if text[at..].starts_with("${") => at += 2 + expression(&text[at + 2..]),
            _ => at += c.len_utf8(),
        }
    }
    text.len()
}

/// The length of an expression within a template, with the brace that ends it.
fn expression(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_u32);
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' | '\'' => at += quoted(&text[at..], c),
            '`' => at += template(&text[at..]),
            '/' if !ends_value(text[..at].trim_end()) => at += regular_expression(&text[at..]),
            '}' if depth == 0 => return at + 1,
            _ => {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                at += c.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_loses_comments_and_spaces_and_nothing_else() {
        for (source, sent) in [
            ("const a = b;  // why\n", "const a=b;\n"),
            ("/** @file\n * x */\nlet  a\n\n\n  = 1", "let a=1\n"),
            ("f(\n  a,\n  { b },\n)\n  .c()\nd()", "f(a,{b}).c()\nd()\n"),
            ("if (a) {\n  b\n  c++\n}\nelse d = () =>\n  e ||\n  f", "if(a){b\nc++}\nelse d=()=>e||f\n"),
            ("a\n++b\n-c\n/d/g.e()\n(f)\n[g]\n`h`", "a\n++b\n-c\n/d/g.e()\n(f)\n[g]\n`h`\n"),
            ("f(/** @type {any} */ (x), y, [ , ])", "f(x,y,[,])\n"),
            (
                "{ let a; b(c); }\n{ while (d()); }\n{ if (e) f; else; }\n{ ; }",
                "{let a;b(c)}\n{while(d());}\n{if(e)f;else;}\n{}\n",
            ),
            (
                "a = 1;\nb();\nc;\n(d);\nif (e);\nf;\n\"g\";\nelse;\nh++;\n",
                "a=1\nb()\nc;\n(d)\nif(e);\nf;\n\"g\"\nelse;\nh++;\n",
            ),
            ("x = (a) => (b) => ((c).d)(e)?.(f) || (1)", "x=a=>b=>(c.d)(e)?.(f)||(1)\n"),
            ("if (a) (b).c\nelse (d).e\nasync (f) => g", "if(a)(b).c\nelse(d).e\nasync(f)=>g\n"),
            (r#"x = "a  \" // b" + 'it  /* s */'"#, "x=\"a  \\\" // b\"+'it  /* s */'\n"),
            ("a + +b - -c + d ++ + e", "a+ +b- -c+d++ +e\n"),
            (
                "return  `a  ${ f({ b: `c  ${ d }` }, \"}\") }  // e`",
                "return`a  ${ f({ b: `c  ${ d }` }, \"}\") }  // e`\n",
            ),
            ("`${ a.b(/[\"}]/g, 1 / 2) }`  + c", "`${ a.b(/[\"}]/g, 1 / 2) }`+c\n"),
            ("x = /[/\"]  \\//g.test( y ) / 2 / z", "x=/[/\"]  \\//g.test(y)/2/z\n"),
            ("return /a  b/ in  c", "return/a  b/in c\n"),
            ("s.split( / +/ ).map((x) => x / 2)", "s.split(/ +/).map(x=>x/2)\n"),
            ("a\n// b\n/* c */ d", "a\nd\n"),
            ("\"…\" + é", "\"…\"+é\n"),
        ] {
            assert_eq!(script(source), sent, "{source}");
            assert_eq!(script(sent), sent, "a second time: {source}");
        }
    }

    #[test]
    fn what_does_not_end_is_sent_to_its_end() {
        for source in ["\"a", "`a ${b", "/a", "/* a", "// a", "`a\\", "'\\"] {
            script(source);
        }
    }

    #[test]
    fn a_style_keeps_the_spaces_that_mean_something() {
        let source = "/* x */\na > b:not(.c) d, e { margin: 0 calc(1px + 2px); color: red; }\n\n@media (max-width: 7px) { p { x: y; } }\n";
        let sent = "a > b:not(.c) d,e{margin:0 calc(1px + 2px);color:red}@media (max-width:7px){p{x:y}}";
        assert_eq!(style(source), sent);
    }
}
