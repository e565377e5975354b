use std::net::Ipv4Addr;

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::*;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn password(user: &str) -> Credential {
    Credential { kind: Kind::Password, subject: user.into() }
}

fn api_key(key: &str) -> Credential {
    Credential { kind: Kind::ApiKey, subject: key.into() }
}

fn logins() -> Logins {
    Logins::new(Rate::per_minute(10))
}

/// One attempt that ends at once.
async fn attempt(logins: &Logins, client: IpAddr, who: &Credential, verdict: Verdict) -> Result<(), u32> {
    let attempt = logins.admit(client, who).await.map_err(|refused| refused.after)?;
    attempt.end(verdict);
    Ok(())
}

/// Fails until it is refused, and says after how many.
async fn exhaust(logins: &Logins, client: IpAddr, who: &Credential) -> usize {
    let mut failures = 0;
    while attempt(logins, client, who, Verdict::Bad).await.is_ok() {
        failures += 1;
        assert!(failures < 10_000);
    }
    failures
}

#[tokio::test(start_paused = true)]
async fn ten_failures_a_minute_are_allowed_and_no_success_is_among_the_rest() {
    let (logins, admin) = (logins(), password("admin"));
    assert_eq!(exhaust(&logins, HOME, &admin).await, 10);
    assert_eq!(attempt(&logins, HOME, &admin, Verdict::Good).await, Err(7));
    advance(Duration::from_millis(5900)).await;
    assert_eq!(attempt(&logins, HOME, &admin, Verdict::Good).await, Err(1));
    advance(Duration::from_millis(200)).await;
    assert_eq!(exhaust(&logins, HOME, &admin).await, 1);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(exhaust(&logins, HOME, &admin).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_success_makes_up_for_failures_before_it() {
    let (logins, admin) = (logins(), password("admin"));
    for _ in 0..100 {
        for _ in 0..9 {
            attempt(&logins, HOME, &admin, Verdict::Bad).await.unwrap();
        }
        attempt(&logins, HOME, &admin, Verdict::Good).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failures_lock_out_nobody_else() {
    let logins = logins();
    exhaust(&logins, ELSEWHERE, &password("admin")).await;
    // The same user at home, another one at the same address.
    attempt(&logins, HOME, &password("admin"), Verdict::Good).await.unwrap();
    attempt(&logins, ELSEWHERE, &password("viewer"), Verdict::Good).await.unwrap();
    // Nor has a key to do with another one, or with a user of its name.
    exhaust(&logins, HOME, &api_key("k")).await;
    attempt(&logins, HOME, &api_key("l"), Verdict::Good).await.unwrap();
    attempt(&logins, HOME, &password("k"), Verdict::Good).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spray_of_names_ends_and_leaves_those_alone_who_are_known_there() {
    let logins = logins();
    attempt(&logins, HOME, &password("ann"), Verdict::Good).await.unwrap();
    attempt(&logins, HOME, &api_key("ann's"), Verdict::Good).await.unwrap();
    let mut tried = 0;
    while attempt(&logins, HOME, &password(&format!("user-{tried}")), Verdict::Bad).await.is_ok() {
        tried += 1;
    }
    assert_eq!(tried, 100);
    assert_eq!(attempt(&logins, HOME, &password("bob"), Verdict::Good).await, Err(1));
    attempt(&logins, ELSEWHERE, &password("bob"), Verdict::Good).await.unwrap();
    attempt(&logins, HOME, &password("ann"), Verdict::Good).await.unwrap();
    attempt(&logins, HOME, &api_key("ann's"), Verdict::Good).await.unwrap();
    // Her password can be guessed no faster for that.
    assert_eq!(exhaust(&logins, HOME, &password("ann")).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_works_is_never_held_up_and_one_that_was_revoked_is() {
    let (logins, key) = (logins(), api_key("k"));
    let first = logins.admit(HOME, &key).await.ok().unwrap();
    first.end(Verdict::Good);
    let mut at_once = Vec::new();
    for _ in 0..1000 {
        at_once.push(logins.admit(HOME, &key).await.ok().unwrap());
    }
    for attempt in at_once {
        attempt.end(Verdict::Good);
    }
    attempt(&logins, HOME, &key, Verdict::Bad).await.unwrap();
    assert_eq!(exhaust(&logins, HOME, &key).await, 10);
}

#[tokio::test(start_paused = true)]
async fn many_attempts_at_once_are_no_way_around_it() {
    let logins = Arc::new(logins());
    for (verdict, passed) in [(Verdict::Bad, 10), (Verdict::Good, 500)] {
        let user = format!("{verdict:?}");
        let attempts = (0..500).map(|_| {
            let (logins, user) = (Arc::clone(&logins), password(&user));
            tokio::spawn(async move {
                let attempt = logins.admit(HOME, &user).await.ok()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
                attempt.end(verdict);
                Some(())
            })
        });
        let mut found = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            found += usize::from(attempt.await.unwrap().is_some());
        }
        // The bucket fills a little meanwhile.
        assert!((passed..=passed + 1).contains(&found), "{verdict:?}: {found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_answer_has_tried() {
    let (logins, admin) = (logins(), password("admin"));
    for _ in 0..10 {
        drop(logins.admit(HOME, &admin).await.ok().unwrap());
    }
    assert_eq!(attempt(&logins, HOME, &admin, Verdict::Good).await, Err(7));
    // What nobody has judged is no failure.
    let other = password("other");
    for _ in 0..100 {
        attempt(&logins, HOME, &other, Verdict::Unjudged).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_subscriber_is_one_address() {
    let (logins, admin) = (logins(), password("admin"));
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(exhaust(&logins, address("2001:db8:0:1::1"), &admin).await, 10);
    assert_eq!(exhaust(&logins, address("2001:db8:0:1:ffff::2"), &admin).await, 0);
    assert_eq!(exhaust(&logins, address("2001:db8:0:2::1"), &admin).await, 10);
    assert_eq!(exhaust(&logins, HOME, &admin).await, 10);
    assert_eq!(exhaust(&logins, address("::ffff:192.0.2.1"), &admin).await, 0);
    assert_eq!(exhaust(&logins, address("::ffff:192.0.2.2"), &admin).await, 10);
}

#[tokio::test(start_paused = true)]
async fn names_and_addresses_without_end_take_no_memory_without_end() {
    let logins = Logins::with_room(Rate::per_minute(10), 100);
    for address in 0..2000_u32 {
        let client = IpAddr::V4(Ipv4Addr::from_bits(address));
        attempt(&logins, client, &password(&address.to_string()), Verdict::Bad).await.unwrap();
    }
    logins.buckets.run_pending_tasks();
    assert!(logins.buckets.entry_count() <= 100);
    // The one that tries now is counted all the same.
    assert_eq!(exhaust(&logins, HOME, &password("admin")).await, 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the rhythm, a bucket lets no more failures through than it has places and fills in the time.
    #[test]
    fn failures_never_outrun_the_rate(steps in prop::collection::vec((0_u64..20_000, any::<bool>()), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let bucket = Arc::new(Bucket::new(Rate::per_minute(10)));
            let begun = Instant::now();
            let mut failures = 0_u32;
            for (pause, fails) in steps {
                advance(Duration::from_millis(pause)).await;
                match bucket.place().await {
                    Ok(place) if fails => {
                        drop(place);
                        failures += 1;
                    }
                    Ok(place) => place.give_back(false),
                    Err(refusal) => {
                        assert!(refusal.after <= Duration::from_secs(6));
                        advance(refusal.after).await;
                        drop(bucket.place().await.unwrap());
                        failures += 1;
                    }
                }
                let most = 10.0 + begun.elapsed().as_secs_f64() / 6.0 + 1e-6;
                assert!(f64::from(failures) <= most, "{failures} of {most}");
            }
        });
    }
}
