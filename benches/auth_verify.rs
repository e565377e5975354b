//! What a bearer token costs: verified, and found in the cache. From the header map to the caller.
//!
//! 2026-11-24, 2 vCPUs of an AMD EPYC, other builds running beside it (so compare, do not quote), rustc 1.95,
//! optimized without LTO; medians, a token of ten groups under one key:
//!
//! | alg | verified | cached |
//! |---|---|---|
//! | ES256 | 101 µs | 0.75 µs |
//! | ES384 | 378 µs | 0.82 µs |
//!
//! The bare signature check of aws-lc-rs, under a key parsed beforehand, took 93 µs of the ES256 figure.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use fedgate::{
    auth::{Authenticator, Clock, Config, Curve, Keys, MintClaims, SigningKey, TokenCacheConfig},
    types::AuthScope,
};
use http::{HeaderMap, HeaderValue, header};

const NOW: i64 = 1_700_000_000;

struct Fixed;

impl Clock for Fixed {
    fn unix_seconds(&self) -> i64 {
        NOW
    }
}

fn bench(c: &mut Criterion) {
    let groups: Vec<String> = (0..10).map(|n| format!("team-{n}")).collect();
    let claims = MintClaims { exp: NOW + 300, sub: "jane.doe", groups: &groups };
    for curve in [Curve::P256, Curve::P384] {
        let signing = SigningKey::generate(curve).expect("the random source works");
        let keys = Keys::new(vec![signing.public_key().clone()]);
        let token = signing.mint(&claims).expect("plain claims can be signed");
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token is ASCII");
        headers.insert(header::AUTHORIZATION, value);

        let mut group = c.benchmark_group(curve.algorithm());
        for (name, entries) in [("uncached", 0), ("cached", 1000)] {
            let config = Config { token_cache: TokenCacheConfig { entries }, ..Config::default() };
            let authenticator = Authenticator::with_clock(&config, keys.clone(), Arc::new(Fixed));
            group.bench_function(name, |b| {
                b.iter(|| authenticator.authenticate(black_box(&headers), AuthScope::Api));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
