//! Which sessions are renewed in Sensu's place.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

type Change = fn(&mut Pair);

struct Pair {
    key: SigningKey,
    access: Value,
    refresh: Value,
}

impl Pair {
    /// As Sensu issues them, `age` seconds ago.
    fn new(age: i64) -> Self {
        let issued = NOW - age;
        let access = json!({
            "exp": issued + 300, "jti": "a", "iss": "https://gw", "sub": "ada", "groups": ["ops", "system:users"],
            "provider": {"provider_id": "basic", "provider_type": "", "user_id": "ada"}, "api_key": false,
            "session_id": "s",
        });
        let refresh = json!({
            "exp": issued + 43_200, "jti": "r", "iat": issued, "sub": "ada", "groups": null,
            "provider": {"provider_id": "", "provider_type": "", "user_id": ""}, "api_key": false,
            "session_id": "s",
        });
        Self { key: SigningKey::generate(Curve::P256).unwrap(), access, refresh }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(keys_of(&[&self.key]))
    }

    fn judge(&self) -> Result<Session, AuthError> {
        let (access, refresh) = (self.key.mint(&self.access).unwrap(), self.key.mint(&self.refresh).unwrap());
        Session::judge(&self.verifier(), &access, &refresh, NOW, HOUR)
    }
}

fn payload(token: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    String::from_utf8(URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_renewed_token_has_the_same_claims_byte_for_byte_but_for_its_end() {
    // Go escapes what it takes for HTML, and an order of its own matters to nobody.
    let claims = format!(
        "{{\"jti\":\"x\", \"sub\":\"ada\",\"groups\":[\"a\\u003cb\"],\"exp\" : {} ,\"session_id\":\"s\",\"n\":1.50}}",
        NOW - 60
    );
    let pair = Pair::new(360);
    let access = pair.key.mint_payload(claims.as_bytes()).unwrap();
    let refresh = pair.key.mint(&pair.refresh).unwrap();
    let session = Session::judge(&pair.verifier(), &access, &refresh, NOW, HOUR).unwrap();
    assert_eq!(session.subject(), "ada");
    let renewed = session.renew(&pair.key, NOW + 300).unwrap();
    assert_eq!(payload(&renewed), claims.replace(&(NOW - 60).to_string(), &(NOW + 300).to_string()));
    assert_eq!(pair.verifier().verify(&renewed, NOW).unwrap().groups, ["a<b"]);
    // It can be renewed in turn, with the same refresh token.
    assert!(Session::judge(&pair.verifier(), &renewed, &refresh, NOW, HOUR).is_ok());
}

#[test]
fn a_session_is_renewed_for_so_long_after_sensu_has_renewed_it_and_no_longer() {
    for (age, renewed) in [(0, true), (301, true), (3600, true), (3601, false), (43_199, false)] {
        let mut pair = Pair::new(age);
        assert_eq!(pair.judge().is_ok(), renewed, "{age}");
        // Renewals in Sensu's place do not make it longer.
        pair.access["exp"] = json!(NOW + 300);
        assert_eq!(pair.judge().is_ok(), renewed, "{age}");
    }
}

#[test]
fn whatever_sensu_would_refuse_is_refused() {
    let changes: [(&str, Change); 16] = [
        ("another user's refresh token", |pair| pair.refresh["sub"] = json!("eve")),
        ("another session's", |pair| pair.refresh["session_id"] = json!("t")),
        ("no session", |pair| {
            pair.access["session_id"] = json!("");
            pair.refresh["session_id"] = json!("");
        }),
        ("no session at all", |pair| {
            pair.access.as_object_mut().unwrap().remove("session_id");
            pair.refresh.as_object_mut().unwrap().remove("session_id");
        }),
        ("nobody", |pair| {
            pair.access["sub"] = json!("");
            pair.refresh["sub"] = json!("");
        }),
        ("an expired refresh token", |pair| pair.refresh["exp"] = json!(NOW)),
        ("one from the future", |pair| pair.refresh["iat"] = json!(NOW + 1)),
        ("one without an end", |pair| pair.refresh["exp"] = Value::Null),
        ("an access token in its place", |pair| pair.refresh = pair.access.clone()),
        ("an access token not yet valid", |pair| pair.access["nbf"] = json!(NOW + 1)),
        ("one without an end", |pair| pair.access["exp"] = Value::Null),
        ("one that ended too long ago", |pair| pair.access["exp"] = json!(NOW - 3601)),
        ("one of another provider", |pair| pair.access["provider"]["provider_type"] = json!("oidc")),
        ("claims of another type", |pair| pair.access["groups"] = json!("ops")),
        ("an end that is no whole number", |pair| pair.access["exp"] = json!("soon")),
        ("an unnamed user's refresh token", |pair| {
            pair.refresh.as_object_mut().unwrap().remove("sub");
        }),
    ];
    assert!(Pair::new(360).judge().is_ok());
    for (what, change) in changes {
        let mut pair = Pair::new(360);
        change(&mut pair);
        assert!(pair.judge().is_err(), "{what}");
    }
}

#[test]
fn tokens_of_another_key_are_refused_in_either_place() {
    let (ours, theirs) = (Pair::new(360), Pair::new(360));
    let access = |pair: &Pair| pair.key.mint(&pair.access).unwrap();
    let refresh = |pair: &Pair| pair.key.mint(&pair.refresh).unwrap();
    let judge = |access: String, refresh: String| {
        Session::judge(&ours.verifier(), &access, &refresh, NOW, HOUR).map(drop)
    };
    assert_eq!(judge(access(&ours), refresh(&ours)), Ok(()));
    assert_eq!(judge(access(&theirs), refresh(&ours)), Err(AuthError::Signature));
    assert_eq!(judge(access(&ours), refresh(&theirs)), Err(AuthError::Signature));
    assert_eq!(judge(String::new(), refresh(&ours)), Err(AuthError::Malformed));
    assert_eq!(judge(access(&ours), "a.b.c".to_owned()), Err(AuthError::Malformed));
}
