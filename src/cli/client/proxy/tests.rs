use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue, header::PROXY_AUTHENTICATE};
use proptest::prelude::*;
use serde_json::Value;

use super::{Proxies, Proxy, ProxyError};
use crate::{cli::client::base::Base, types::Backend};

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    let environment: BTreeMap<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Proxies::of(&environment)
}

fn server(url: &str) -> Backend {
    url.parse::<Base>().unwrap().backend
}

fn proxy_of(url: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, ProxyError> {
    proxies(variables).to(&server(url))
}

/// What Go does. `tests/data/proxy/go.json` has it from its `golang.org/x/net/http/httpproxy`.
fn go() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/proxy/go.json")).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn no_proxy_lets_the_same_hosts_through_as_in_go() {
    let go = go();
    for (no_proxy, direct) in go["direct"].as_object().unwrap() {
        let direct = texts(direct);
        let proxies = proxies(&[("HTTP_PROXY", "p:1"), ("HTTPS_PROXY", "p:2"), ("NO_PROXY", no_proxy)]);
        for url in texts(&go["urls"]) {
            let proxy = proxies.to(&server(url)).unwrap();
            assert_eq!(proxy.is_none(), direct.contains(&url), "{url} with NO_PROXY={no_proxy}");
        }
    }
}

#[test]
fn proxies_are_found_and_logged_in_to_as_in_go() {
    for case in go()["proxies"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let is_cgi = if case["cgi"] == true { "GET" } else { "" };
        let proxies = proxies(&[
            ("HTTP_PROXY", text("http_proxy")),
            ("HTTPS_PROXY", text("https_proxy")),
            ("NO_PROXY", text("no_proxy")),
            ("REQUEST_METHOD", is_cgi),
        ]);
        for (url, expected) in case["urls"].as_object().unwrap() {
            let found = match proxies.to(&server(url)) {
                Err(_) => "refused".to_owned(),
                Ok(None) => "direct".to_owned(),
                Ok(Some(proxy)) => {
                    let login = proxy.authorization().map(|value| format!(" {}", value.to_str().unwrap()));
                    let shown = proxy.to_string();
                    let url = shown.split(' ').nth(2).unwrap();
                    format!("{url}{}", login.unwrap_or_default())
                }
            };
            assert_eq!(found, expected.as_str().unwrap().replace("socks5h:", "socks5:"), "{url} {case}");
        }
    }
}

#[test]
fn capital_letters_come_first_and_an_empty_variable_is_none() {
    for (variables, expected) in [
        (&[("https_proxy", "low"), ("HTTPS_PROXY", "high")][..], Some("high:80 of HTTPS_PROXY")),
        (&[("https_proxy", "low"), ("HTTPS_PROXY", "")], Some("low:80 of https_proxy")),
        (&[("https_proxy", "low"), ("no_proxy", "a.example"), ("NO_PROXY", "b.example")], Some("low:80")),
        (&[("https_proxy", "low"), ("no_proxy", "a.example")], None),
        (&[("http_proxy", "low"), ("ALL_PROXY", "all"), ("all_proxy", "all")], None),
    ] {
        let found = proxy_of("https://a.example", variables).unwrap().map(|proxy| proxy.to_string());
        match expected {
            None => assert_eq!(found, None, "{variables:?}"),
            Some(part) => assert!(found.unwrap().contains(part), "{variables:?}"),
        }
    }
}

#[test]
fn a_variable_that_names_no_usable_proxy_is_refused_by_its_name_alone() {
    for text in [
        "http://",
        "http://u:hunter2@",
        "http://u:hunter2@a b",
        "http://u:hunter2@p:99999",
        "u:hunter2%ff@p",
        "http://hunter2:12345/6@p:3128",
        "hunter2:1?2@p",
        "socks5://hunter2/3:1#2@p",
    ] {
        let error = proxy_of("https://a.example", &[("HTTPS_PROXY", text)]).unwrap_err();
        assert!(matches!(error, ProxyError::Url { .. }), "{text}");
        assert!(error.to_string().starts_with("HTTPS_PROXY is not the URL of a proxy"), "{error}");
        assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"));
        // It does not matter where no proxy is wanted.
        assert!(proxy_of("https://localhost", &[("HTTPS_PROXY", text)]).unwrap().is_none());
        assert!(proxy_of("http://a.example", &[("HTTPS_PROXY", text)]).unwrap().is_none());
    }
    for text in ["socks4://p", "ftp://hunter2@p", "file:///hunter2", "hunter2://p"] {
        let error = proxy_of("https://a.example", &[("https_proxy", text)]).unwrap_err().to_string();
        assert!(error.starts_with("https_proxy names a proxy of a kind that is not supported"), "{error}");
        assert!(error.contains("socks5://") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_proxy_that_wants_a_login_is_told_apart_by_what_it_offers() {
    let find = |url| proxy_of("https://a.example", &[("HTTPS_PROXY", url)]).unwrap().unwrap();
    let why = |url, offers: &[&'static str]| {
        let values = offers.iter().map(|offer| (PROXY_AUTHENTICATE, HeaderValue::from_static(offer)));
        find(url).unauthorized(&values.collect::<HeaderMap>()).to_string()
    };
    let needed = "the proxy http://p:8080 of HTTPS_PROXY asks for a user (407): write it as http://USER:PASSWORD@p:8080";
    assert_eq!(why("p:8080", &["Negotiate", "basic realm=\"x\""]), needed);
    assert_eq!(why("p:8080", &[]), needed);
    let refused = why("u:hunter2@p:8080", &["Basic"]);
    assert_eq!(
        refused,
        "the proxy http://p:8080 of HTTPS_PROXY refuses the user or the password that is given there (407)"
    );
    assert!(why("https://p", &["Basic"]).ends_with("write it as https://USER:PASSWORD@p:443"));
    assert!(why("p", &["Negotiate", "NTLM"]).contains("not supported"));
}

proptest! {
    #[test]
    fn what_a_variable_says_is_never_shown_but_for_scheme_host_and_port(
        scheme in "(http|https|socks5)", user in "[a-z]{1,8}", password in "[A-Z0-9%@:]{6,20}", rest in "[ -~]{0,20}"
    ) {
        let url = format!("{scheme}://{user}:{password}@proxy{rest}");
        match proxy_of("https://a.example", &[("HTTPS_PROXY", &url)]) {
            Ok(proxy) => {
                let proxy = proxy.unwrap();
                assert!(!proxy.to_string().contains(&password), "{proxy}");
                assert!(!format!("{proxy:?}").contains(&password));
            }
            Err(error) => assert!(!error.to_string().contains(&password), "{error}"),
        }
    }

    #[test]
    fn any_no_proxy_can_be_read_and_only_adds_to_what_is_direct(
        entries in "[a-z0-9.*:/\\[\\], -]{0,40}", host in "[a-z0-9]{1,5}(\\.[a-z]{1,3}){0,2}", port in 1_u16..,
    ) {
        let url = format!("http://{host}:{port}");
        let with = |no_proxy: &str| {
            proxy_of(&url, &[("HTTP_PROXY", "p"), ("NO_PROXY", no_proxy)]).unwrap().is_none()
        };
        let alone = with(&entries);
        assert!(with(&format!("{entries},{host}")) || host.contains(':'));
        assert!(with(&format!("{entries},{host}:{port}")));
        assert_eq!(with(&format!("{entries},nothing.invalid")), alone);
        assert_eq!(with(&entries.to_ascii_uppercase()), alone);
    }
}
