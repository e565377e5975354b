use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{cut::key_of, items::Items, *};
use crate::{
    member::Member,
    types::{ClusterName, FailureClass, Shape},
};

/// What a scripted member does with `limit` and `continue`.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Pages,
    /// Sends everything, and the token back that it got.
    Echoes,
    Hangs,
    /// Pages, after a second.
    Slow,
}

struct Scripted {
    name: ClusterName,
    habit: Habit,
    items: Vec<Value>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn answer(&self, query: &str) -> Response<Body> {
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let start: usize = value("continue").map_or(0, |token| token.parse().unwrap());
        let limit: usize = value("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let (page, next) = match self.habit {
            Habit::Pages | Habit::Slow => {
                let end = start.saturating_add(limit).min(self.items.len());
                (&self.items[start..end], (end < self.items.len()).then(|| end.to_string()))
            }
            Habit::Echoes | Habit::Hangs => (&self.items[..], value("continue").map(str::to_owned)),
        };
        let text = serde_json::to_vec(page).unwrap();
        let frames: Vec<_> = text.chunks(50).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        let frames = futures::StreamExt::map(futures::stream::iter(frames), |part| {
            part.map(http_body::Frame::data).map_err(|never: crate::error::BoxError| never)
        });
        let mut response = Response::new(Body::boxed(http_body_util::StreamBody::new(frames)));
        if let Some(next) = next {
            response.headers_mut().insert("sensu-continue", next.parse().unwrap());
        }
        response
    }
}

impl Member for Scripted {
    fn name(&self) -> &ClusterName {
        &self.name
    }

    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        let query = request.uri().query().unwrap_or_default();
        self.asked.lock().push(format!("{}?{query}", self.name));
        let answer = Ok(self.answer(query));
        match self.habit {
            Habit::Hangs => std::future::pending().boxed(),
            Habit::Slow => tokio::time::sleep(Duration::from_secs(1)).map(|()| answer).boxed(),
            Habit::Pages | Habit::Echoes => std::future::ready(answer).boxed(),
        }
    }
}

struct Rig {
    config: Config,
    shared: Arc<Shared>,
    paging: Paging,
    members: Vec<(&'static str, Habit, Vec<Value>)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    fn new(paging: Paging, members: Vec<(&'static str, Habit, Vec<Value>)>) -> Self {
        let config = Config { read_ahead_bytes: 300, ..Config::default() };
        Self { config, shared: Shared::new(10, 1 << 20), paging, members, asked: Arc::default() }
    }

    async fn page(&self, limit: u64, from: Option<Position>) -> (Response<()>, Vec<Value>, Option<Position>) {
        let member = |(name, habit, items): &(&str, Habit, Vec<Value>)| {
            let asked = Arc::clone(&self.asked);
            let member = Scripted { name: name.parse().unwrap(), habit: *habit, items: items.clone(), asked };
            Candidate::Send(Arc::new(member))
        };
        let list = Query {
            members: self.members.iter().map(member).collect(),
            request: Request::new(()),
            shape: Shape::Resource,
            strict: false,
            api_key: false,
        };
        let query =
            PageQuery { list, label: false, paging: self.paging, limit: NonZeroU64::new(limit), from };
        let Page { response, next } = page(&self.config, &self.shared, query).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!((self.shared.buffered_bytes(), self.shared.in_flight()), (0, 0));
        let mut items: Vec<Value> = serde_json::from_slice(&body).unwrap_or_default();
        for item in &mut items {
            item["metadata"]["namespace"] = "a".into();
        }
        (Response::from_parts(head, ()), items, next)
    }

    async fn pages(&self, limit: u64) -> Vec<Vec<Value>> {
        let (_, items, mut next) = self.page(limit, None).await;
        let mut pages = vec![items];
        while let Some(from) = next {
            let from = Position::from_bytes(&from.to_bytes()).unwrap();
            let (_, items, then) = self.page(limit, Some(from)).await;
            assert!(pages.len() < 1000);
            pages.push(items);
            next = then;
        }
        pages
    }
}

fn items(cluster: &str, names: impl IntoIterator<Item = usize>) -> Vec<Value> {
    let item = |name| json!({"metadata": {"name": format!("{cluster}-{name:04}"), "namespace": "a"}});
    names.into_iter().map(item).collect()
}

#[tokio::test]
async fn a_page_ends_before_it_holds_more_than_its_bytes() {
    for paging in [Paging::ByCluster, Paging::ByKey] {
        for room in [1, 1 << 20] {
            let big = json!({"metadata": {"name": "a", "namespace": "a"}, "output": "x".repeat(1000)});
            let first = [vec![big], items("local", 0..40)].concat();
            let mut rig = Rig::new(
                paging,
                vec![
                    ("local-cluster", Habit::Pages, first.clone()),
                    ("alpha", Habit::Pages, items("alpha", 0..2)),
                ],
            );
            rig.shared = Shared::new(10, room);
            for limit in [0, 1000, 7, 1] {
                let pages = rig.pages(limit).await;
                assert_eq!(pages[0].len(), 1, "one item is always a page");
                let sizes: Vec<usize> =
                    pages.iter().map(|page| serde_json::to_vec(page).unwrap().len()).collect();
                assert!(sizes[1..].iter().all(|size| *size <= 300 + 60), "{sizes:?}");
                let all = |room: usize| if room == 1 { limit != 1 } else { limit == 0 };
                assert!(pages.len() > 4 || !all(room));
                let expected: Vec<Value> = first.iter().cloned().chain(items("alpha", 0..2)).collect();
                assert_eq!(pages.concat(), expected, "limit {limit}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_in_any_order_is_paged_by_its_keys_and_what_is_kept_is_a_page() {
    let shuffled = items("local", (0..50).map(|n| n * 37 % 50));
    let rig = Rig::new(Paging::ByKey, vec![("local-cluster", Habit::Echoes, shuffled)]);
    assert_eq!(rig.pages(3).await.concat(), items("local", 0..50));
    assert!(rig.asked.lock().iter().all(|asked| asked == "local-cluster?"), "neither limit nor token");
}

#[tokio::test]
async fn a_list_that_does_not_page_is_one_page_and_no_circle() {
    let mut rig = Rig::new(
        Paging::ByCluster,
        vec![
            ("local-cluster", Habit::Echoes, items("local", 0..3)),
            ("alpha", Habit::Pages, items("alpha", 0..3)),
        ],
    );
    rig.config.read_ahead_bytes = 1 << 20;
    let pages = rig.pages(2).await;
    assert_eq!(pages.concat(), [items("local", 0..3), items("alpha", 0..3)].concat());
    let from = Position { member: ClusterName::local(), after: After::Token("0".into()) };
    let (_, all, next) = rig.page(9, Some(from)).await;
    assert_eq!((all.len(), next), (6, None), "its own token is not a new one");
}

#[tokio::test(start_paused = true)]
async fn members_that_hang_cost_a_page_one_deadline_once_it_has_an_answer() {
    let rig = Rig::new(
        Paging::ByCluster,
        vec![
            ("local-cluster", Habit::Pages, items("local", 0..1)),
            ("alpha", Habit::Hangs, Vec::new()),
            ("beta", Habit::Hangs, Vec::new()),
            ("gamma", Habit::Pages, items("gamma", 0..1)),
        ],
    );
    let begun = Instant::now();
    let (head, first, next) = rig.page(9, None).await;
    assert_eq!(begun.elapsed(), rig.config.member_timeout);
    assert_eq!(first.len(), 1);
    let asked = r#""local-cluster";status=200, "alpha";error=timeout, "beta";error=timeout"#;
    assert_eq!(head.headers()["fedgate-clusters"], asked, "two at once");
    let (head, second, next) = rig.page(9, next).await;
    assert_eq!((head.status(), second, next), (StatusCode::OK, items("gamma", 0..1), None));
    assert_eq!(head.headers()["fedgate-complete"], "true");
}

/// Twenty slow members of one or two items each.
fn small_members(habit: Habit) -> Rig {
    const NAMES: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let member = |(index, name): (usize, &'static str)| (name, habit, items(name, 0..=(index % 2)));
    let mut rig = Rig::new(Paging::ByCluster, NAMES.into_iter().enumerate().map(member).collect());
    rig.config.read_ahead_bytes = 1 << 20;
    rig
}

#[tokio::test(start_paused = true)]
async fn a_page_over_many_small_members_does_not_wait_for_each_in_turn() {
    let rig = small_members(Habit::Slow);
    let begun = Instant::now();
    let (_, all, next) = rig.page(100, None).await;
    assert_eq!((all.len(), next), (30, None));
    assert_eq!(begun.elapsed(), Duration::from_secs(5), "1, 2, 4, 8 and 5 of them at once");
    assert_eq!(rig.asked.lock().len(), 20);
}

#[tokio::test]
async fn members_are_asked_ahead_only_as_far_as_the_page_may_need_them() {
    let members =
        ["local-cluster", "alpha", "beta", "gamma"].map(|name| (name, Habit::Pages, items(name, 0..9)));
    let mut rig = Rig::new(Paging::ByCluster, members.into());
    rig.config.read_ahead_bytes = 1 << 20;
    assert_eq!(rig.page(9, None).await.1.len(), 9);
    assert_eq!(std::mem::take(&mut *rig.asked.lock()), ["local-cluster?limit=9"]);
    assert_eq!(rig.page(12, None).await.1.len(), 12);
    assert_eq!(std::mem::take(&mut *rig.asked.lock()), ["local-cluster?limit=12", "alpha?limit=3"]);
    // Two at once, and the second again: it was asked for more than the first has left room for.
    assert_eq!(rig.page(30, None).await.1.len(), 30);
    let asked = ["local-cluster?limit=30", "alpha?limit=21", "beta?limit=21", "gamma?limit=3"];
    assert_eq!(std::mem::take(&mut *rig.asked.lock()), asked);
    assert_eq!(rig.page(20, None).await.1.len(), 20);
    assert_eq!(*rig.asked.lock(), ["local-cluster?limit=20", "alpha?limit=11", "beta?limit=2"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_page_without_any_answer_has_asked_everybody() {
    let hangs = |name| (name, Habit::Hangs, Vec::new());
    let rig = Rig::new(Paging::ByKey, vec![hangs("local-cluster"), hangs("alpha"), hangs("beta")]);
    let begun = Instant::now();
    let (head, _, next) = rig.page(9, None).await;
    assert_eq!((head.status(), next), (StatusCode::GATEWAY_TIMEOUT, None));
    assert_eq!(begun.elapsed(), 2 * rig.config.member_timeout);
}

#[test]
fn what_is_no_list_of_objects_is_refused_wherever_it_is_cut() {
    for (text, good) in [
        ("[]", true),
        (" [ ] \n", true),
        ("null", true),
        (r#"[{"a":"]}\"{"},{"b":[{}]}]"#, true),
        ("[ {} , {} ]", true),
        ("", false),
        ("nul", false),
        ("nulll", false),
        ("nxll", false),
        ("{}", false),
        ("[1]", false),
        ("[[]]", false),
        ("[{}", false),
        ("[{}{}]", false),
        ("[{},]", false),
        ("[,{}]", false),
        ("[{}]]", false),
        ("[{]}]", false),
        (r#"[{"a":tru}]"#, false),
        (r#"[{"a":1]"#, false),
    ] {
        for chunk in 1..=text.len().max(1) {
            let mut cutter = cut::Cutter::new(Shape::Resource, None, 9, 9);
            let read = text.as_bytes().chunks(chunk).try_for_each(|part| cutter.push(part));
            let end = read.is_ok() && cutter.finish().is_ok();
            assert_eq!(end, good, "{text} by {chunk}");
        }
    }
}

#[test]
fn an_item_without_end_is_not_kept() {
    let mut items = Items::default();
    let mut take = |_: &[u8]| Ok::<(), items::ItemError>(());
    items.push(b"[{\"a\":\"", &mut take).unwrap();
    let much = vec![b'x'; 1 << 20];
    let fits = (0..40).take_while(|_| items.push(&much, &mut take).is_ok()).count();
    assert_eq!(fits, items::MAX_ITEM / much.len() - 1);
}

#[test]
fn keys_sort_as_in_the_store() {
    let key = |shape, item: &str| String::from_utf8(key_of(shape, item.as_bytes()).unwrap()).unwrap();
    let named =
        |ns: &str| key(Shape::Resource, &json!({"metadata": {"name": "x", "namespace": ns}}).to_string());
    assert!(named("a-b") < named("a") && named("a") < named("a0"));
    assert_eq!(key(Shape::Namespace, r#"{"metadata":{"name":"y"},"name":"\u0061"}"#), "a");
    assert_eq!(key(Shape::Resource, "{}"), "/");
}

proptest! {
    #[test]
    fn any_pages_over_any_members_are_the_list(
        sizes in prop::collection::vec(0_usize..12, 1..9),
        limit in 0_u64..40,
        bytes in prop::sample::select(vec![1_usize, 300, 2_000, 1 << 20]),
        by_key in any::<bool>(),
    ) {
        const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let member = |(name, size): (&'static str, &usize)| (name, Habit::Pages, items(name, 0..*size));
        let paging = if by_key { Paging::ByKey } else { Paging::ByCluster };
        let mut rig = Rig::new(paging, NAMES.into_iter().zip(&sizes).map(member).collect());
        rig.config.read_ahead_bytes = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let pages = runtime.block_on(rig.pages(limit));
        let all: Vec<Value> = NAMES.into_iter().zip(&sizes).flat_map(|(name, size)| items(name, 0..*size)).collect();
        prop_assert_eq!(pages.concat(), all);
        if let (Some((last, full)), Ok(limit)) = (pages.split_last(), usize::try_from(limit)) && limit > 0 && bytes == 1 << 20 {
            prop_assert!(full.iter().all(|page| page.len() == limit) && last.len() <= limit);
        }
    }

    #[test]
    fn positions_are_read_as_they_are_written(name in "[a-z]{1,9}", kind in 0..4_u8, rest in any::<Vec<u8>>()) {
        let after = match kind {
            0 => After::Nothing,
            1 => After::Everything,
            2 => After::Key(rest),
            _ => After::Token(String::from_utf8_lossy(&rest).into_owned()),
        };
        let position = Position { member: name.parse().unwrap(), after };
        prop_assert_eq!(Position::from_bytes(&position.to_bytes()), Some(position));
    }

    #[test]
    fn no_bytes_upset_the_fuzzed_entries(data in any::<Vec<u8>>()) {
        fuzzing::positions(&data);
        fuzzing::pages(&data);
    }

    #[test]
    fn lists_are_cut_as_fuzzed(settings in any::<u8>(), names in prop::collection::vec("[abA.-]{0,2}", 0..12), ns in "[ab-]{0,1}") {
        let list: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "metadata": {"namespace": ns, "name": name, "x": "]}\\\""}}))
            .collect();
        let mut data = vec![settings];
        data.extend(serde_json::to_vec(&list).unwrap());
        fuzzing::pages(&data);
    }
}

#[test]
fn a_token_of_events_names_the_namespace_that_they_are_in() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let event = |ns: &str, own: Value| {
        json!({"metadata": own, "entity": {"metadata": {"name": "e", "namespace": ns}}, "check": {"metadata": {"name": "c"}}})
            .to_string()
    };
    let (local, alpha) = (ClusterName::local(), "alpha".parse().unwrap());
    for (items, cluster, token, expected) in [
        (event("a", json!({})), &local, "/a/e/c\0", None),
        (event("a", json!({"namespace": "z"})), &local, "/z/e/c\0", Some("/a/e/c\0")),
        (event("a@alpha", json!({"namespace": "z@alpha"})), &alpha, "/z/e/c\0", Some("/a/e/c\0")),
        (event("a@alpha", json!({})), &alpha, "/a/e/c\0", None),
        (format!("{{}},{}", event("a", json!({}))), &local, "/z/e/c\0", Some("/a/e/c\0")),
        (event("a", json!({"namespace": "z"})), &local, "1700000000:17", None),
        (event("a", json!({"namespace": "z"})), &local, "/z/other/c\0", None),
        ("{}".to_owned(), &local, "/z/e/c\0", None),
        (String::new(), &local, "/z/e/c\0", None),
    ] {
        let mended = events::mended_token(&URL_SAFE_NO_PAD.encode(token), items.as_bytes(), cluster);
        assert_eq!(mended, expected.map(|token: &str| URL_SAFE_NO_PAD.encode(token)), "{items} {token:?}");
    }
    assert_eq!(events::mended_token("!", event("a", json!({})).as_bytes(), &local), None);
}
