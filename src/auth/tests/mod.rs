use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};

use super::*;
use crate::{
    error::{Classify, ErrorKind},
    wire,
};

mod files;
mod requests;
mod sessions;
mod tokens;

const NOW: i64 = 1_700_000_000;

/// A clock that a test moves.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn unix_seconds(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn pair(curve: Curve) -> SigningKey {
    SigningKey::generate(curve).unwrap()
}

fn keys_of(signing: &[&SigningKey]) -> Keys {
    Keys::new(signing.iter().map(|key| key.public_key().clone()).collect())
}

fn authenticator(keys: Keys) -> (Authenticator, Arc<TestClock>) {
    let clock = Arc::new(TestClock(AtomicI64::new(NOW)));
    (Authenticator::with_clock(&Config::default(), keys, clock.clone()), clock)
}

fn bearer(token: &str) -> HeaderMap {
    authorization(&format!("Bearer {token}"))
}

fn authorization(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}
