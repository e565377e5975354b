//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use bytes::{Bytes, BytesMut};

use super::{Brackets, Rewriter, ScanError, unqualify, validate_list};
use crate::types::{ClusterName, Shape};

/// Checks that a rewriter accepts and writes the same however the body is cut; the first byte chooses settings and cuts.
///
/// # Panics
///
/// When it does not.
pub fn fuzz_rewriter(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let shape = if choice & 1 == 0 { Shape::Resource } else { Shape::Namespace };
    let brackets = if choice & 2 == 0 { Brackets::Keep } else { Brackets::Strip };
    let name = cluster();
    let label = (choice & 4 != 0).then_some(&name);
    let suffix = (choice & 8 != 0).then_some(&name);
    let run = |step: usize| {
        let mut rewriter = Rewriter::new(shape, label, suffix, brackets);
        rewrite(&mut rewriter, body, step).map(|out| (out, rewriter.items()))
    };
    let whole = run(body.len());
    assert_eq!(whole, run(1 + usize::from(choice >> 4)));
    assert_eq!(whole, run(1));
    if let (Ok((out, _)), None, None, Brackets::Keep) = (&whole, label, suffix, brackets) {
        assert_eq!(out, body);
    }
}

/// Checks that whatever [`validate_list`] accepts a rewriter accepts too, and that it accepts what `serde_json`
/// accepts.
///
/// # Panics
///
/// When either is not so.
pub fn fuzz_validate(data: &[u8]) {
    let accepted = validate_list(data).is_ok();
    if accepted {
        let name = cluster();
        let mut rewriter = Rewriter::new(Shape::Resource, Some(&name), Some(&name), Brackets::Strip);
        assert!(rewrite(&mut rewriter, data, 64).is_ok());
    }
    let parsed = serde_json::from_slice::<Option<Vec<serde_json::Map<String, serde_json::Value>>>>(data);
    // serde_json is stricter about lone surrogates, number ranges and depth.
    assert!(accepted || parsed.is_err());
}

/// Checks that what was qualified un-qualifies to the same bytes, and that nothing that [`unqualify()`] returns is
/// qualified.
///
/// # Panics
///
/// When either is not so.
pub fn fuzz_unqualify(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for shape in [Shape::Resource, Shape::Namespace] {
        let Ok(plain) = unqualify(&body, shape) else { continue };
        assert!(plain.namespaces.iter().all(|namespace| !namespace.contains('@')));
        let again = unqualify(&plain.body, shape);
        assert_eq!(again.as_ref().map(|a| &a.body), Ok(&plain.body));
        assert_eq!(again.as_ref().map(|a| &a.cluster), Ok(&None));
        if validate_list(&[b"[", data, b"]"].concat()).is_err()
            || plain.namespaces.iter().any(String::is_empty)
        {
            continue;
        }
        let name = cluster();
        let mut rewriter = Rewriter::new(shape, None, Some(&name), Brackets::Keep);
        let Ok(qualified) = rewrite(&mut rewriter, &plain.body, 64) else { continue };
        let back = unqualify(&qualified.freeze(), shape).map(|back| back.body);
        assert_eq!(back, Ok(plain.body));
    }
}

fn rewrite(rewriter: &mut Rewriter, body: &[u8], step: usize) -> Result<BytesMut, ScanError> {
    let mut out = BytesMut::new();
    for chunk in body.chunks(step.max(1)) {
        rewriter.push(chunk, &mut out)?;
    }
    rewriter.finish(&mut out)?;
    Ok(out)
}

fn cluster() -> ClusterName {
    "alpha".parse().expect("a valid name")
}
