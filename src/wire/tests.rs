//! Tokens; the other files hold their own tests.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::{
    fuzzing,
    token::{open, seal},
};

const KEY: &[u8] = &[7; 32];

#[test]
fn a_token_of_this_version_stays_valid() {
    // A gateway of another version must read this one's tokens.
    let sealed = "AWrODZ66Pnjj79W30njQSrvMGFWPchtu-DXcgcHPFhNbYWxwaGE";
    assert_eq!(seal(KEY, b"clusters", b"alpha"), sealed);
    assert_eq!(open(KEY, b"clusters", sealed).unwrap(), b"alpha");
    for other in [&b"etcd-replicators"[..], b"cluster", b"clustersa", b""] {
        assert_eq!(open(KEY, other, sealed), None);
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let sealed = seal(KEY, b"c", b"p");
    let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
    let other_version = URL_SAFE_NO_PAD.encode([&[2], &bytes[1..]].concat());
    let unsigned = URL_SAFE_NO_PAD.encode("alpha\0");
    let padded = format!("{sealed}==");
    for text in ["", "=", "AQ", "not base64!", &other_version, &unsigned, &padded, &sealed[1..], "\u{e9}"] {
        assert_eq!(open(KEY, b"c", text), None, "{text}");
    }
    assert!(open(KEY, b"c", &seal(KEY, b"c", &vec![0; 60_000])).is_some());
}

proptest! {
    #[test]
    fn any_input_upholds_the_fuzzed_properties(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzzing::tokens(&data);
    }

    #[test]
    fn every_bit_of_a_token_counts(payload in prop::collection::vec(any::<u8>(), 0..40), bit in any::<usize>()) {
        let mut bytes = URL_SAFE_NO_PAD.decode(seal(KEY, b"c", &payload)).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(open(KEY, b"c", &URL_SAFE_NO_PAD.encode(bytes)), None);
    }
}
