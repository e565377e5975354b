//! Proxies that the environment names: which way requests go, and what is said when that way is closed.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    proxy::{Kind, Proxy},
    server::{PASSWORD, Server},
    tls::{acceptor, ca, serve},
    user::User,
};

/// A name that only proxies know.
const NAME: &str = "gateway.example.invalid";

fn user(variables: &[(&str, &str)]) -> User {
    let mut user = User::without_login();
    user.set("FEDGATE_PASSWORD", PASSWORD);
    for (name, value) in variables {
        user.set(name, value);
    }
    user
}

/// Lists namespaces at a URL.
fn list(url: &str) -> [&str; 6] {
    ["list", "namespace", "--url", url, "--user", "admin"]
}

#[test]
fn an_http_proxy_gets_the_requests_for_an_http_url() {
    let server = Server::start();
    let proxy = Proxy::start(Kind::Http(None), &server.url);
    for variable in ["HTTP_PROXY", "http_proxy"] {
        let url = format!("http://bob:{}@{}", "s%40fe", proxy.address);
        let user = user(&[(variable, &url)]);
        let listed = user.ok(&list(&format!("http://{NAME}/")));
        assert!(listed.contains("sensu-system"), "{listed}");
        let asked = proxy.take_asked();
        assert_eq!(asked[0].target, format!("http://{NAME}/auth"));
        assert!(asked[1].target.starts_with(&format!("http://{NAME}/api/core/v2/namespaces")), "{asked:?}");
        for request in asked {
            let login = format!("Basic {}", STANDARD.encode("bob:s@fe"));
            assert_eq!(request.header("proxy-authorization"), login);
            assert_eq!(request.header("host"), NAME);
        }
    }
    assert!(server.take_lines().iter().all(|line| !line.contains("http://")), "only the proxy sees URLs");
}

#[test]
fn a_tunnel_leads_to_an_https_url_through_every_kind_of_proxy() {
    let ca = ca();
    let server = serve(&ca, NAME);
    let port = server.url.rsplit(':').next().unwrap();
    let target = format!("{NAME}:{port}");
    for (kind, scheme, login) in [
        (Kind::Http(None), "http://", ""),
        (Kind::Http(None), "", "bob:safe@"),
        (Kind::Http(Some(acceptor(&ca, "127.0.0.1"))), "https://", "bob:safe@"),
        (Kind::Socks(None), "socks5://", ""),
        (Kind::Socks(Some(("bob", "safe"))), "socks5h://", "bob:safe@"),
    ] {
        let proxy = Proxy::start(kind, &server.url);
        let url = format!("{scheme}{login}{}", proxy.address);
        let user = user(&[("HTTPS_PROXY", &url), ("HTTP_PROXY", "http://127.0.0.1:1")]);
        let file = user.write("ca.pem", &ca.pem());
        let (gateway, other) = (format!("https://{target}"), format!("https://other.example.invalid:{port}"));
        let with_ca = |url| [&list(url)[..], &["--trusted-ca-file", &file]].concat();
        let listed = user.ok(&with_ca(&gateway));
        assert!(listed.contains("sensu-system"), "{url}: {listed}");
        for asked in proxy.take_asked() {
            assert_eq!((asked.method.as_str(), &asked.target), ("CONNECT", &target), "{url}");
            assert_eq!(asked.header("authorization"), "", "what is in the tunnel is not the proxy's");
            if !scheme.starts_with("socks") {
                let expected = if login.is_empty() { String::new() } else { STANDARD.encode("bob:safe") };
                assert_eq!(asked.header("proxy-authorization").trim_start_matches("Basic "), expected);
                assert_eq!(asked.header("host"), target);
            }
        }
        // Files of resources come the same way.
        let mut user = user;
        user.set("SSL_CERT_FILE", &file);
        let line = user.fails(
            &["create", "--url", &gateway, "--api-key", "k", "-f", &format!("{gateway}/none.yaml")],
            78,
        );
        assert!(line.ends_with("/none.yaml: the server answered 404 Not Found"), "{line}");
        assert_eq!(proxy.take_asked().len(), 1, "and nothing else was sent");
        // The server's certificate is checked through the tunnel.
        let line = user.fails(&with_ca(&other), 69);
        assert!(line.contains("no trusted connection") && line.contains("through the proxy"), "{line}");
        assert!(!line.contains("safe"), "{line}");
    }
}

#[test]
fn a_socks_proxy_leads_to_an_http_url_too() {
    let server = Server::start();
    let proxy = Proxy::start(Kind::Socks(Some(("bob", "safe"))), &server.url);
    let url = format!("socks5://bob:safe@{}", proxy.address);
    let listed = user(&[("HTTP_PROXY", &url)]).ok(&list(&format!("http://{NAME}")));
    assert!(listed.contains("sensu-system"));
    assert_eq!(proxy.take_asked()[0].target, format!("{NAME}:80"));
    assert!(server.take_lines().contains(&"GET /auth".to_owned()));
    let url = format!("socks5://bob:hunter2@{}", proxy.address);
    let line = user(&[("HTTP_PROXY", &url)]).fails(&list(&format!("http://{NAME}")), 69);
    assert!(line.contains("credentials not accepted") && !line.contains("hunter2"), "{line}");
    let url = format!("socks5://bob:{}@{}", "hunter2".repeat(37), proxy.address);
    let line = user(&[("HTTP_PROXY", &url)]).fails(&list(&format!("http://{NAME}")), 69);
    assert!(line.contains("are too long for SOCKS") && !line.contains("hunter2"), "{line}");
}

#[test]
fn this_machine_and_what_no_proxy_lists_are_connected_to_directly() {
    let server = Server::start();
    let proxy = Proxy::start(Kind::Http(None), &server.url);
    let through = format!("http://{}", proxy.address);
    user(&[("HTTP_PROXY", &through)]).ok(&list(&server.url));
    let port = server.url.rsplit(':').next().unwrap();
    // This machine again, under a name that is not one of those that are never asked of a proxy.
    let here = format!("http://0.0.0.0:{port}");
    for (no_proxy, is_direct) in
        [("", false), ("0.0.0.0", true), ("0.0.0.0/8", true), ("*", true), ("10.0.0.0/8,.example.com", false)]
    {
        user(&[("HTTP_PROXY", &through), ("NO_PROXY", no_proxy)]).ok(&list(&here));
        assert_eq!(proxy.take_asked().is_empty(), is_direct, "{no_proxy}");
    }
}

#[test]
fn resources_at_urls_are_read_through_the_proxy() {
    let server = Server::start();
    let file =
        "{type: CheckConfig, api_version: core/v2, metadata: {name: far}, spec: {command: x, interval: 5}}";
    server.always("/far.yaml", 200, &[("content-type", "application/yaml")], file);
    server.always("/moved.yaml", 302, &[("location", "http://files.example.invalid/far.yaml")], "");
    let proxy = Proxy::start(Kind::Http(None), &server.url);
    let mut user = User::of(&server);
    user.set("HTTP_PROXY", &format!("http://{}", proxy.address));
    user.ok(&["create", "-f", "http://pages.example.invalid/moved.yaml"]);
    let asked: Vec<String> = proxy.take_asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        asked,
        ["http://pages.example.invalid/moved.yaml", "http://files.example.invalid/far.yaml"],
        "and what it is for stays on this machine"
    );
    assert!(
        server
            .take_lines()
            .iter()
            .any(|line| line.starts_with("PUT /api/core/v2/namespaces/default/checks/far"))
    );
}

#[test]
fn a_proxy_that_does_not_help_is_named_with_what_to_do() {
    let server = Server::start();
    for (kind, url, expected) in [
        (
            Kind::Refuses(407, &["Basic realm=\"office\""]),
            "http://",
            "asks for a user (407): write it as http://USER:PASSWORD@",
        ),
        (
            Kind::Refuses(407, &["Basic"]),
            "http://bob:hunter2@",
            "refuses the user or the password that is given there (407)",
        ),
        (Kind::Refuses(407, &["Negotiate", "NTLM"]), "http://", "which is not supported"),
        (
            Kind::Refuses(403, &[]),
            "http://bob:hunter2@",
            "403 Forbidden; NO_PROXY names hosts to connect to directly",
        ),
        (Kind::Refuses(502, &[]), "http://", ":443: 502 Bad Gateway; NO_PROXY"),
        (Kind::Garbage, "http://bob:hunter2@", "does not answer as one: is its address right?"),
        (Kind::Http(None), "https://bob:hunter2@", "no TLS at the proxy https://"),
        (Kind::Garbage, "socks5://bob:hunter2@", "does not answer as one: is its address right?"),
    ] {
        let proxy = Proxy::start(kind, &server.url);
        let url = format!("{url}{}", proxy.address);
        let line = user(&[("HTTPS_PROXY", &url)]).fails(&list(&format!("https://{NAME}")), 69);
        let start = format!("cannot reach https://{NAME}: ");
        assert!(line.starts_with(&start), "{line}");
        assert!(line.contains("the proxy ") && line.contains(" of HTTPS_PROXY"), "{line}");
        assert!(line.contains(expected), "{line}");
        assert!(line.contains(&proxy.address.to_string()), "{line}");
        assert!(!line.contains("hunter2") && !line.contains("docs.rs"), "{line}");
    }
    let line = user(&[("HTTPS_PROXY", "http://bob:hunter2@127.0.0.1:1")])
        .fails(&list(&format!("https://{NAME}")), 69);
    assert!(line.contains("the proxy http://127.0.0.1:1 of HTTPS_PROXY is out of reach: "), "{line}");
    assert!(line.ends_with("; correct HTTPS_PROXY, or list the host in NO_PROXY"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn a_407_for_an_http_url_is_the_proxys_own_and_other_answers_are_shown_as_any() {
    let server = Server::start();
    let proxy = Proxy::start(Kind::Refuses(407, &["Basic"]), &server.url);
    let url = format!("http://bob:hunter2@{}", proxy.address);
    let line = user(&[("HTTP_PROXY", &url)]).fails(&list(&format!("http://{NAME}")), 69);
    assert!(line.starts_with(&format!("cannot reach http://{NAME}: the proxy http://127.0.0.1:")), "{line}");
    assert!(line.ends_with("refuses the user or the password that is given there (407)"), "{line}");
    let proxy = Proxy::start(Kind::Refuses(503, &[]), &server.url);
    let url = format!("http://bob:hunter2@{}", proxy.address);
    let line = user(&[("HTTP_PROXY", &url)]).fails(&list(&format!("http://{NAME}")), 69);
    assert!(line.contains("503") && !line.contains("hunter2") && !line.contains("html"), "{line}");
}

#[test]
fn variables_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let url = format!("https://{NAME}");
    for (variable, value, expected) in [
        ("HTTPS_PROXY", "http://bob:hunter2@", "HTTPS_PROXY is not the URL of a proxy: write it as "),
        (
            "https_proxy",
            "socks4://bob:hunter2@p",
            "https_proxy names a proxy of a kind that is not supported",
        ),
    ] {
        let line = user(&[(variable, value)]).fails(&list(&url), 78);
        assert!(line.starts_with(&format!("cannot reach {url}: {expected}")), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
    let variables = [("HTTP_PROXY", "http://p"), ("REQUEST_METHOD", "GET")];
    let line = user(&variables).fails(&list(&format!("http://{NAME}")), 78);
    assert!(line.contains("HTTP_PROXY is not used by CGI programs"), "{line}");
}
