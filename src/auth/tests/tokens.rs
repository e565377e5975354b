//! Which tokens are accepted. The claims table is what a Sensu 6.12 backend answered, but for `exp`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

const HEADER: &[u8] = br#"{"alg":"ES256","typ":"JWT"}"#;

fn verify_payload(payload: &str) -> Result<Arc<Principal>, AuthError> {
    let signing = pair(Curve::P256);
    let token = signing.mint_raw(HEADER, payload.as_bytes()).unwrap();
    Verifier::new(keys_of(&[&signing])).verify(&token, NOW)
}

/// The claims of a good token with `changes` made; `null` in `changes` stays `null`.
fn claims(changes: &Value) -> String {
    let mut claims = json!({"sub": "fix-minted", "groups": ["fix-viewers"], "exp": NOW + 600});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.to_string()
}

#[test]
fn claims_are_judged_as_sensu_judges_them() {
    let accepted = [
        ("minimal", json!({})),
        ("exp ten years ahead", json!({"exp": NOW + 315_360_000})),
        ("exp far beyond any date", json!({"exp": i64::MAX})),
        ("exp in one second", json!({"exp": NOW + 1})),
        ("iat in the past", json!({"iat": NOW - 60})),
        ("iat and nbf now", json!({"iat": NOW, "nbf": NOW})),
        ("iat and nbf null", json!({"iat": null, "nbf": null})),
        ("groups null", json!({"groups": null})),
        ("groups empty", json!({"groups": []})),
        ("groups duplicated", json!({"groups": ["fix-viewers", "fix-viewers", "system:users"]})),
        ("sub null", json!({"sub": null})),
        ("sub in other letters", json!({"sub": "Jörg/ü@x"})),
        ("provider ldap", json!({"provider": {"provider_id": "ldap/x", "user_id": "cn=x", "more": [1, {}]}})),
        ("provider null", json!({"provider": null})),
        ("aud a string", json!({"aud": "x"})),
        ("aud null", json!({"aud": null})),
        ("iss anything", json!({"iss": "https://nowhere.example.com"})),
        ("unknown claims", json!({"fed": {"a": 1}})),
        ("everything", json!({"jti": "0", "iss": "x", "provider": {}, "api_key": false, "session_id": "0"})),
    ];
    for (name, changes) in accepted {
        assert!(verify_payload(&claims(&changes)).is_ok(), "{name}");
    }
    let refused = [
        ("exp zero", json!({"exp": 0}), AuthError::Expired),
        ("exp now", json!({"exp": NOW}), AuthError::Expired),
        ("exp a second ago", json!({"exp": NOW - 1}), AuthError::Expired),
        ("exp negative", json!({"exp": -1}), AuthError::Expired),
        ("exp null", json!({"exp": null}), AuthError::Claims),
        ("exp fractional", json!({"exp": 1_700_000_600.5}), AuthError::Claims),
        ("exp fractional but whole", json!({"exp": 1_700_000_600.0}), AuthError::Claims),
        ("exp a string", json!({"exp": "1700000600"}), AuthError::Claims),
        ("exp a boolean", json!({"exp": true}), AuthError::Claims),
        ("exp beyond 64 bits", json!({"exp": u64::MAX}), AuthError::Claims),
        ("nbf in the future", json!({"nbf": NOW + 1}), AuthError::NotYetValid),
        ("iat in the future", json!({"iat": NOW + 1}), AuthError::NotYetValid),
        ("nbf a string", json!({"nbf": "1"}), AuthError::Claims),
        ("groups a string", json!({"groups": "fix-viewers"}), AuthError::Claims),
        ("groups of numbers", json!({"groups": [1]}), AuthError::Claims),
        ("groups an object", json!({"groups": {"a": "b"}}), AuthError::Claims),
        ("sub a number", json!({"sub": 1}), AuthError::Claims),
        ("aud a list", json!({"aud": ["x"]}), AuthError::Claims),
        ("provider a string", json!({"provider": "basic"}), AuthError::Claims),
        ("provider a list", json!({"provider": []}), AuthError::Claims),
    ];
    for (name, changes, error) in refused {
        assert_eq!(verify_payload(&claims(&changes)), Err(error), "{name}");
    }
}

#[test]
fn absent_claims_are_empty_but_exp_must_be_there() {
    let principal = verify_payload(&json!({"exp": NOW + 1}).to_string()).unwrap();
    assert_eq!(*principal, Principal { subject: String::new(), groups: vec![], expires_at: NOW + 1 });
    assert_eq!(verify_payload(r#"{"sub":"x","groups":["y"]}"#), Err(AuthError::Claims));
}

#[test]
fn payloads_that_are_no_object_are_refused() {
    let array = format!(r#"[{},null,null,"admin",["cluster-admins"],null,null]"#, NOW + 600);
    for payload in ["", "null", "1", "{", &array, r#"{"exp":1700000600} x"#, r#"{"exp":1700000600,"exp":1}"#]
    {
        assert_eq!(verify_payload(payload), Err(AuthError::Claims), "{payload}");
    }
    assert!(verify_payload(" {\"exp\": 1700000600} \n").is_ok());
}

#[test]
fn the_principal_is_what_the_token_says() {
    let payload = claims(&json!({"groups": ["b", "a", "b"], "sub": "jane"}));
    let expected = Principal {
        subject: "jane".into(),
        groups: vec!["b".into(), "a".into(), "b".into()],
        expires_at: NOW + 600,
    };
    assert_eq!(*verify_payload(&payload).unwrap(), expected);
}

#[test]
fn header_parameters_other_than_alg_do_not_matter() {
    let signing = pair(Curve::P256);
    let verifier = Verifier::new(keys_of(&[&signing]));
    let verify = |header: &str| {
        let token = signing.mint_raw(header.as_bytes(), claims(&json!({})).as_bytes()).unwrap();
        verifier.verify(&token, NOW).map(drop)
    };
    for header in [
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","crit":["x"],"x":1}"#,
        r#"{"jwk":{"kty":"oct"},"alg":"\u0045S256"}"#,
    ] {
        assert_eq!(verify(header), Ok(()), "{header}");
    }
    for header in
        ["", "{}", "null", r#"["ES256"]"#, r#"{"alg":null}"#, r#"{"alg":256}"#, r#"{"alg":["ES256"]}"#]
    {
        assert_eq!(verify(header), Err(AuthError::Malformed), "{header}");
    }
    for alg in ["none", "None", "", "HS256", "es256", "ES256 ", "ES512", "ES256K", "RS256", "PS256", "EdDSA"]
    {
        assert_eq!(verify(&json!({ "alg": alg }).to_string()), Err(AuthError::Algorithm), "{alg}");
    }
}

#[test]
fn the_algorithm_belongs_to_the_curve_of_the_key() {
    let (p256, p384) = (pair(Curve::P256), pair(Curve::P384));
    let payload = claims(&json!({}));
    let token = |key: &SigningKey, header: &[u8]| key.mint_raw(header, payload.as_bytes()).unwrap();
    let (es256, es384) = (br#"{"alg":"ES256"}"#, br#"{"alg":"ES384"}"#);
    let judge = |keys: &[&SigningKey], token: &str| Verifier::new(keys_of(keys)).verify(token, NOW).map(drop);

    assert_eq!(judge(&[&p256], &token(&p256, es256)), Ok(()));
    assert_eq!(judge(&[&p384], &token(&p384, es384)), Ok(()));
    assert_eq!(judge(&[&p256], &token(&p256, es384)), Err(AuthError::Algorithm));
    assert_eq!(judge(&[&p384], &token(&p384, es256)), Err(AuthError::Algorithm));
    assert_eq!(judge(&[&p256, &p384], &token(&p256, es384)), Err(AuthError::Signature));
    assert_eq!(judge(&[&p256, &p384], &token(&p384, es256)), Err(AuthError::Signature));
    assert_eq!(judge(&[], &token(&p256, es256)), Err(AuthError::Algorithm));
}

#[test]
fn a_mac_under_the_public_key_is_no_signature() {
    let signing = pair(Curve::P256);
    let verifier = Verifier::new(keys_of(&[&signing]));
    let pem = signing.public_pem().unwrap();
    let der = rustls::pki_types::pem::from_buf(&mut pem.as_bytes()).unwrap().unwrap().1;
    for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &der, &der[26..]] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        for (alg, error) in [("HS256", AuthError::Algorithm), ("ES256", AuthError::Signature)] {
            let message = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string()),
                URL_SAFE_NO_PAD.encode(claims(&json!({})))
            );
            let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
            assert_eq!(verifier.verify(&format!("{message}.{mac}"), NOW), Err(error));
        }
    }
}

#[test]
fn signatures_of_degenerate_shape_are_refused() {
    let signing = pair(Curve::P256);
    let verifier = Verifier::new(keys_of(&[&signing]));
    let token = signing.mint_raw(HEADER, claims(&json!({})).as_bytes()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let good = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let longer = [&good[..], &[0]].concat();
    for bad in [&[][..], &[0; 64], &[0xff; 64], &good[..63], &longer, &[0; 96]] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(bad));
        assert_eq!(verifier.verify(&token, NOW), Err(AuthError::Signature));
    }
}

#[test]
fn during_a_rotation_the_tokens_of_every_listed_key_are_good() {
    let (old, new, stranger) = (pair(Curve::P256), pair(Curve::P256), pair(Curve::P256));
    let verifier = Verifier::new(keys_of(&[&old, &pair(Curve::P384), &new]));
    let mint = |key: &SigningKey| key.mint(&MintClaims { exp: NOW + 9, sub: "x", groups: &[] }).unwrap();
    assert!(verifier.verify(&mint(&old), NOW).is_ok());
    assert!(verifier.verify(&mint(&new), NOW).is_ok());
    assert_eq!(verifier.verify(&mint(&stranger), NOW), Err(AuthError::Signature));
}

#[test]
fn other_spellings_of_a_good_token_are_refused() {
    let signing = pair(Curve::P256);
    let verifier = Verifier::new(keys_of(&[&signing]));
    let token = signing.mint_raw(HEADER, claims(&json!({})).as_bytes()).unwrap();
    assert!(verifier.verify(&token, NOW).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let variants = [
        format!("{token}=="),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!("..{}", parts[2]),
        token.replacen('.', "\n.", 1),
    ];
    for variant in variants {
        assert!(verifier.verify(&variant, NOW).is_err(), "{variant:?}");
    }
    for junk in ["", ".", "..", "...", "x.y.z", "zzz"] {
        assert_eq!(verifier.verify(junk, NOW), Err(AuthError::Malformed), "{junk:?}");
    }
}

#[test]
fn a_tokens_length_is_bounded_by_the_head_alone() {
    let signing = pair(Curve::P256);
    let groups = |n: usize| json!({ "groups": vec!["g".repeat(40); n] });
    let mint = |n| signing.mint_raw(HEADER, claims(&groups(n)).as_bytes()).unwrap();
    let (authenticator, _) = authenticator(keys_of(&[&signing]));
    for n in [1_000, 1_200, 10_000] {
        assert_eq!(authenticator.verify(&mint(n)).unwrap().groups.len(), n);
    }
}

#[test]
fn changing_any_one_character_spoils_a_token() {
    let signing = pair(Curve::P256);
    let verifier = Verifier::new(keys_of(&[&signing]));
    let token = signing.mint(&MintClaims { exp: NOW + 9, sub: "x", groups: &[] }).unwrap();
    for at in 0..token.len() {
        // Neighbours in the alphabet differ in the low bits: at the end of a part only a strict decoder minds.
        for other in ["A", "B", "Q", "g", "w", "_", ".", "=", " "] {
            if token[at..=at] != *other {
                let mut changed = token.clone();
                changed.replace_range(at..=at, other);
                assert!(verifier.verify(&changed, NOW).is_err(), "{other:?} at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn flipping_any_one_bit_spoils_a_token(at in any::<prop::sample::Index>(), bit in 0..7u8) {
        let signing = pair(Curve::P384);
        let token = signing.mint(&MintClaims { exp: NOW + 9, sub: "x", groups: &[] }).unwrap();
        let mut bytes = token.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(Verifier::new(keys_of(&[&signing])).verify(&changed, NOW).is_err());
    }

    #[test]
    fn arbitrary_input_upholds_the_fuzzed_properties(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::authorization(&data);
        fuzzing::authorization(&[b"Bearer ", &data[..]].concat());
        fuzzing::token(&data);
        fuzzing::claims(&data);
        fuzzing::key_file(&data);
        fuzzing::key_file(&[b"-----BEGIN PUBLIC KEY-----\n", &data[..]].concat());
    }

    #[test]
    fn token_shaped_input_upholds_the_fuzzed_properties(
        token in r"(eyJhbGciOiJFUzI1NiJ9|eyJhbGciOiJFUzM4NCJ9)\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{86}",
        claims in r#"\{"exp":[0-9]{1,20}(,"(nbf|iat|sub|groups|aud|provider)":(null|[0-9]{1,12}|"x"|\["x"\]|\{\}))?\}"#,
    ) {
        fuzzing::token(token.as_bytes());
        fuzzing::claims(claims.as_bytes());
    }
}
