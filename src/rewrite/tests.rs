use bytes::{Bytes, BytesMut};

use super::*;
use crate::types::ClusterName;

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn run(
    shape: Shape,
    label: bool,
    qualify: bool,
    brackets: Brackets,
    body: &str,
    step: usize,
) -> Result<(String, u64), ScanError> {
    let n = name("alpha");
    let mut r = Rewriter::new(shape, label.then_some(&n), qualify.then_some(&n), brackets);
    let mut out = BytesMut::new();
    for chunk in body.as_bytes().chunks(step) {
        r.push(chunk, &mut out)?;
    }
    r.finish(&mut out)?;
    Ok((String::from_utf8(out.to_vec()).unwrap(), r.items()))
}

#[test]
fn smoke() {
    let body = r#"[{"metadata":{"name":"a","namespace":"default"}},{},{ "entity" : { "metadata" : { "namespace" : "x" } } }]"#;
    for step in 1..70 {
        println!("{:?}", run(Shape::Resource, true, true, Brackets::Strip, body, step));
    }
    println!(
        "{:?}",
        unqualify(
            &Bytes::from_static(br#"{"cluster":"alpha","metadata":{"namespace":"default@alpha"}}"#),
            Shape::Resource
        )
    );
}
