//! What becomes of requests: header forms, replies, the cache, the layer.

use std::convert::Infallible;

use super::*;

fn status(error: AuthError) -> (StatusCode, String) {
    let response = wire::reply(&error.reply());
    let body = String::from_utf8(response.body().as_full().unwrap().to_vec()).unwrap();
    (response.status(), body)
}

fn mint(signing: &SigningKey, exp: i64) -> String {
    signing.mint(&MintClaims { exp, sub: "jane", groups: &["ops".to_owned()] }).unwrap()
}

#[test]
fn header_forms_get_the_bytes_that_sensu_sends() {
    const BAD: &str = r#"{"Code":5,"Message":"bad credentials"}"#;
    const INVALID: &str = r#"{"Code":5,"Message":"invalid credentials"}"#;
    let (authenticator, _) = authenticator(keys_of(&[&pair(Curve::P256)]));
    for (value, expected) in [
        ("Basic YWRtaW46UEBzc3cwcmQh", BAD),
        ("bearer x.y.z", BAD),
        ("Bearer", BAD),
        ("Key", BAD),
        ("Digest x", BAD),
        ("", BAD),
        ("Bearer  x.y.z", INVALID),
        ("Bearer x.y.z", INVALID),
        ("Bearer zzz", INVALID),
        ("Bearer ", INVALID),
        ("Key ", INVALID),
    ] {
        let error = authenticator.authenticate(&authorization(value), AuthScope::Api).unwrap_err();
        assert_eq!(status(error), (StatusCode::UNAUTHORIZED, expected.to_owned()), "{value:?}");
        let graphql = authenticator.authenticate(&authorization(value), AuthScope::GraphQl);
        match expected {
            BAD => assert!(matches!(graphql, Ok(Caller::Anonymous)), "{value:?}"),
            _ => assert_eq!(graphql.unwrap_err(), error, "{value:?}"),
        }
    }
    let none = authenticator.authenticate(&HeaderMap::new(), AuthScope::Api).unwrap_err();
    assert_eq!(status(none), (StatusCode::UNAUTHORIZED, BAD.to_owned()));
    let none = authenticator.authenticate(&HeaderMap::new(), AuthScope::GraphQl);
    assert!(matches!(none, Ok(Caller::Anonymous)));
}

#[test]
fn two_headers_are_a_bad_request_in_every_scope() {
    let (authenticator, _) = authenticator(Keys::default());
    let mut headers = authorization("Key a");
    headers.append(header::AUTHORIZATION, HeaderValue::from_static("Key a"));
    for scope in [AuthScope::Api, AuthScope::GraphQl] {
        let error = authenticator.authenticate(&headers, scope).unwrap_err();
        let (code, body) = status(error);
        assert_eq!(code, StatusCode::BAD_REQUEST);
        assert!(body.ends_with(r#","code":1}"#), "{body}");
        assert_eq!(error.kind(), ErrorKind::Client);
    }
}

#[test]
fn api_keys_and_tokens_are_let_through() {
    let signing = pair(Curve::P384);
    let (authenticator, _) = authenticator(keys_of(&[&signing]));
    for scope in [AuthScope::Api, AuthScope::GraphQl] {
        let key = authenticator.authenticate(&authorization("Key 0000-1"), scope);
        assert!(matches!(key, Ok(Caller::ApiKey)));
        let token = bearer(&mint(&signing, NOW + 1));
        let Ok(Caller::Token(principal)) = authenticator.authenticate(&token, scope) else { panic!() };
        assert_eq!((&*principal.subject, &*principal.groups), ("jane", &["ops".to_owned()][..]));
    }
    assert_eq!(authenticator.metrics().sum(|it| &it.ok), 4);
    assert_eq!(authenticator.metrics().sum(|it| &it.rejected), 0);
}

#[test]
fn a_verified_token_is_not_verified_again() {
    let signing = pair(Curve::P256);
    let (authenticator, _) = authenticator(keys_of(&[&signing]));
    let token = mint(&signing, NOW + 300);
    let first = authenticator.verify(&token).unwrap();
    let second = authenticator.verify(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        (authenticator.metrics().sum(|it| &it.hits), authenticator.metrics().sum(|it| &it.misses)),
        (1, 1)
    );
}

#[test]
fn a_refused_token_leaves_nothing_in_the_cache() {
    let (authenticator, _) = authenticator(keys_of(&[&pair(Curve::P256)]));
    let forged = mint(&pair(Curve::P256), NOW + 300);
    for _ in 0..3 {
        assert_eq!(
            authenticator.authenticate(&bearer(&forged), AuthScope::Api).unwrap_err(),
            AuthError::Signature
        );
    }
    assert_eq!(authenticator.cache.len(), 0);
    assert_eq!(
        (authenticator.metrics().sum(|it| &it.misses), authenticator.metrics().sum(|it| &it.rejected)),
        (3, 3)
    );
}

#[test]
fn a_cached_token_is_refused_from_the_second_of_its_expiry() {
    let signing = pair(Curve::P256);
    let (authenticator, clock) = authenticator(keys_of(&[&signing]));
    let token = mint(&signing, NOW + 300);
    assert!(authenticator.verify(&token).is_ok());
    clock.0.store(NOW + 299, Ordering::Relaxed);
    assert!(authenticator.verify(&token).is_ok());
    clock.0.store(NOW + 300, Ordering::Relaxed);
    assert_eq!(authenticator.verify(&token), Err(AuthError::Expired));
    assert_eq!(authenticator.metrics().sum(|it| &it.hits), 1);
}

#[test]
fn a_reload_forgets_tokens_of_retired_keys() {
    let (old, new) = (pair(Curve::P256), pair(Curve::P256));
    let (authenticator, _) = authenticator(keys_of(&[&old]));
    let (of_old, of_new) = (mint(&old, NOW + 300), mint(&new, NOW + 300));
    assert!(authenticator.verify(&of_old).is_ok());
    assert_eq!(authenticator.verify(&of_new), Err(AuthError::Signature));

    authenticator.reload(keys_of(&[&old, &new]));
    assert!(authenticator.verify(&of_old).is_ok());
    assert!(authenticator.verify(&of_new).is_ok());
    assert_eq!(authenticator.metrics().sum(|it| &it.hits), 0);

    authenticator.reload(keys_of(&[&new]));
    assert_eq!(authenticator.verify(&of_old), Err(AuthError::Signature));
}

#[test]
fn what_a_verification_under_old_keys_leaves_behind_is_never_found() {
    let (old, new) = (pair(Curve::P256), pair(Curve::P256));
    let (authenticator, _) = authenticator(keys_of(&[&old]));
    let token = mint(&old, NOW + 300);
    // The steps of `verify`, with a reload between the verification and the insertion.
    let before = authenticator.keys.load_full();
    let principal = before.verifier.verify(&token, NOW).unwrap();
    authenticator.reload(keys_of(&[&new]));
    authenticator.cache.insert(TokenId::of(&token), before.generation, principal, NOW);

    assert_eq!(authenticator.cache.len(), 1);
    assert_eq!(authenticator.verify(&token), Err(AuthError::Signature));
    assert_eq!(authenticator.metrics().sum(|it| &it.hits), 0);
}

#[test]
fn the_cache_is_bounded_in_count_and_in_bytes() {
    let cache = cache::TokenCache::new(10);
    let insert = |from: usize, groups: usize| {
        for n in from..from + 100 {
            let groups = vec!["g".repeat(60); groups];
            let principal = Arc::new(Principal { subject: String::new(), groups, expires_at: NOW + 300 });
            cache.insert(TokenId::of(&n.to_string()), 0, principal, NOW);
        }
    };
    insert(0, 0);
    assert!(cache.len() <= 10);
    insert(1000, 20);
    assert!(cache.len() <= 10);
    cache.clear();
    insert(2000, 20);
    assert!(cache.len() <= 4, "an entry with 20 long groups takes the room of two");
}

#[test]
fn without_a_cache_every_request_is_verified() {
    let signing = pair(Curve::P256);
    let config = Config { token_cache: TokenCacheConfig { entries: 0 }, ..Config::default() };
    let clock = Arc::new(TestClock(AtomicI64::new(NOW)));
    let authenticator = Authenticator::with_clock(&config, keys_of(&[&signing]), clock);
    let token = mint(&signing, NOW + 300);
    assert!(authenticator.verify(&token).is_ok());
    assert!(authenticator.verify(&token).is_ok());
    assert_eq!(authenticator.metrics().sum(|it| &it.misses), 2);
}

#[test]
fn neither_errors_nor_debug_output_hold_a_token() {
    let signing = pair(Curve::P256);
    let (authenticator, _) = authenticator(keys_of(&[&signing]));
    let token = signing.mint(&json!({"exp": "s3cret", "sub": 1})).unwrap();
    let error = authenticator.verify(&token).unwrap_err();
    let text = format!("{error} {error:?} {authenticator:?} {signing:?} {:?}", credentials(&bearer(&token)));
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(!text.contains("s3cret") && !text.contains(signature), "{text}");
}

#[tokio::test]
async fn the_layer_leaves_the_caller_with_the_request() {
    let signing = pair(Curve::P256);
    let (authenticator, _) = authenticator(keys_of(&[&signing]));
    let scope_of = |path: &str| match path {
        "/graphql" => AuthScope::GraphQl,
        path if path.starts_with("/api/") => AuthScope::Api,
        _ => AuthScope::Open,
    };
    let layer = AuthLayer::new(Arc::new(authenticator));
    let echo = tower::service_fn(|request: Request<()>| async move {
        Ok::<_, Infallible>(request.extensions().get::<Caller>().map(|caller| format!("{caller:?}")))
    });
    let mut service = layer.layer(echo);
    let mut ask = async |path: &str, headers: HeaderMap| {
        let mut request = Request::builder().uri(path).body(()).unwrap();
        *request.headers_mut() = headers;
        request.extensions_mut().insert(scope_of(path));
        service.ready().await.unwrap().call(request).await
    };

    let token = bearer(&mint(&signing, NOW + 300));
    assert_eq!(ask("/api/core/v2/checks", token.clone()).await.unwrap().unwrap(), r#"Token("jane")"#);
    assert_eq!(ask("/graphql", HeaderMap::new()).await.unwrap().unwrap(), "Anonymous");
    assert_eq!(ask("/api/core/v2/checks", authorization("Key k")).await.unwrap().unwrap(), "ApiKey");
    assert_eq!(ask("/health", token).await.unwrap(), None);
    let refused = ask("/api/core/v2/checks", HeaderMap::new()).await.unwrap_err();
    assert_eq!(refused.downcast_ref::<AuthError>(), Some(&AuthError::Missing));
}
