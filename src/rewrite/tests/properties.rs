use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::{
    model::{edit, expected},
    *,
};
use crate::rewrite::{fuzzing, unqualify, validate_list};

/// JSON text of any value, with white space, escapes and odd numbers.
fn json() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec![
        "0",
        "-0",
        "1e-07",
        "1.50E+3",
        "9007199254740993",
        "-123456789012345678901234567890",
    ]);
    let leaf = prop_oneof![
        1 => prop::sample::select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        1 => number.prop_map(str::to_owned),
        3 => string(),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            1 => prop::collection::vec((inner.clone(), space(), space()), 0..4).prop_map(|items| {
                let items: Vec<_> = items.into_iter().map(|(item, a, b)| format!("{a}{item}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            4 => object(inner),
        ]
    })
}

/// An object in which the keys that matter are frequent.
fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let known =
        ["metadata", "entity", "check", "spec", "namespace", "name", "labels", "Metadata", "clusters"];
    let key = prop_oneof![
        6 => prop::sample::select(known.map(|key| format!("\"{key}\"")).to_vec()),
        1 => string(),
        1 => Just(r#""x\"metadata""#.to_owned()),
        1 => Just(r#""\\""#.to_owned()),
    ];
    let member = (key, value, space(), space(), space())
        .prop_map(|(key, value, a, b, c)| format!("{a}{key}{b}:{c}{value}"));
    (prop::collection::vec(member, 0..6), space())
        .prop_map(|(members, end)| format!("{{{}{end}}}", members.join(",")))
}

fn item() -> impl Strategy<Value = String> {
    // Namespaces where they belong, among anything.
    let metadata = (string(), object(json())).prop_map(|(namespace, rest)| {
        let rest = rest.trim_start_matches('{').trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        format!("{{\"namespace\":{namespace}{comma}{rest}")
    });
    let metadata = metadata.boxed();
    object(prop_oneof![metadata.clone(), object(metadata.clone()), object(object(metadata)), json()])
}

fn list() -> impl Strategy<Value = String> {
    (prop::collection::vec((item(), space(), space()), 0..6), space(), space()).prop_map(|(items, a, b)| {
        let items: Vec<_> = items.into_iter().map(|(item, a, b)| format!("{a}{item}{b}")).collect();
        format!("{a}[{}{a}]{b}", items.join(","))
    })
}

/// A string that may be a namespace: neither empty nor with `@`.
fn string() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "default",
        "\\\"",
        "\\\\",
        "\\n",
        "\\u00e4",
        "ä",
        "日本",
        "😀",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "metadata",
        "\\\"metadata\\\":{\\\"namespace\\\":\\\"",
    ]);
    prop::collection::vec(piece, 1..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(String::new()), 1 => "[ \t\r\n]{1,3}", 1 => " {60,70}"]
}

fn task() -> impl Strategy<Value = Task> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(shape, label, qualify, brackets)| Task {
            shape: if shape { Shape::Resource } else { Shape::Namespace },
            label,
            qualify,
            brackets: if brackets { Brackets::Keep } else { Brackets::Strip },
        },
    )
}

fn cut(task: Task, body: &str, cuts: &[usize]) -> Result<String, ScanError> {
    let name = alpha();
    let (label, qualify) = (task.label.then_some(&name), task.qualify.then_some(&name));
    let mut rewriter = Rewriter::new(task.shape, label, qualify, task.brackets);
    let (mut out, mut rest) = (BytesMut::new(), body.as_bytes());
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        rewriter.push(chunk, &mut out)?;
        rest = after;
    }
    rewriter.finish(&mut out)?;
    Ok(String::from_utf8(out.to_vec()).unwrap())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![0..3_usize, 0..200_usize, 1..2_usize], 1..8)
        .prop_map(|cuts| if cuts.iter().all(|cut| *cut == 0) { vec![1] } else { cuts })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_become_what_the_reference_makes_of_them(body in list(), task in task(), cuts in cuts()) {
        let out = cut(task, &body, &cuts);
        prop_assert_eq!(out.as_ref(), Ok(&expected(task, &body)));
        let mut value: serde_json::Value = serde_json::from_str(&body).unwrap();
        edit(task, &mut value);
        let out = match task.brackets {
            Brackets::Keep => out.unwrap(),
            Brackets::Strip => format!("[{}]", out.unwrap()),
        };
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), value);
        prop_assert_eq!(validate_list(body.as_bytes()), Ok(()));
    }

    #[test]
    fn any_value_is_kept_or_qualified(body in prop_oneof![json(), item()], task in task(), cuts in cuts()) {
        let task = Task { brackets: Brackets::Keep, ..task };
        prop_assert_eq!(cut(task, &body, &cuts), Ok(expected(task, &body)));
    }

    #[test]
    fn what_was_qualified_unqualifies_to_the_same_bytes(body in item(), shape in task(), label: bool) {
        let task = Task { label, qualify: true, brackets: Brackets::Strip, ..shape };
        let qualified = Bytes::from(task.run(&format!("[{body}]"), 50).unwrap());
        let read = unqualify(&qualified, task.shape).unwrap();
        prop_assert_eq!(&read.body, body.as_bytes());
        let plain = unqualify(&read.body, task.shape).unwrap();
        prop_assert_eq!(plain.body.as_ptr(), read.body.as_ptr());
        prop_assert_eq!(plain.namespaces, read.namespaces);
    }

    #[test]
    fn broken_bodies_break_nothing(
        body in list(),
        settings: u8,
        faults in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[],:\"\\ 0n\xff".to_vec())), 0..3),
        end: prop::sample::Index,
        truncate: bool,
    ) {
        let mut body = [&[settings], body.as_bytes()].concat();
        for (at, byte) in faults {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if truncate {
            body.truncate(end.index(body.len()));
        }
        fuzzing::fuzz_rewriter(&body);
        fuzzing::fuzz_validate(body.get(1..).unwrap_or_default());
    }

    #[test]
    fn broken_requests_break_nothing(
        body in item(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"{}[],:\"\\ @x".to_vec())), 0..3),
    ) {
        let mut body = body.into_bytes();
        for (at, byte) in faults {
            let at = at.index(body.len());
            body[at] = byte;
        }
        fuzzing::fuzz_unqualify(&body);
    }

    #[test]
    fn noise_breaks_nothing(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::fuzz_rewriter(&data);
        fuzzing::fuzz_validate(&data);
        fuzzing::fuzz_unqualify(&data);
    }
}
