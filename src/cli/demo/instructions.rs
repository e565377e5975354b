use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use super::clusters::Clusters;
use crate::sim::Options;

/// What the demo prints: first what one sees, then how to use it from another terminal.
pub(super) fn instructions(
    main: SocketAddr,
    admin: SocketAddr,
    clusters: &Clusters,
    scratch: &Path,
    has_keyboard: bool,
) -> String {
    let user = Options::default().admin_user;
    let password = Options::default().admin_password;
    let names: Vec<String> =
        clusters.addresses().map(|(name, address)| format!("{name} (http://{address})")).collect();
    let names = names.join(", ");
    let url = format!("http://{}", reachable(main));
    let everywhere = if main.ip().is_unspecified() {
        format!("\n  Listens   on {main}: whoever reaches that can log in\n")
    } else {
        String::new()
    };
    let fedgate = program();
    let sensuctl = quoted(&scratch.join("sensuctl").display().to_string());
    let keys = if has_keyboard {
        "Press a, b or l here to take alpha, beta or local-cluster down, and again to bring it back.\n"
    } else {
        ""
    };
    format!(
        r#"
Open {url}/console/ in a browser: user {user}, password {password}

fedgate demo: three simulated Sensu clusters, one gateway in front

  URL       {url}
  User      {user}
  Password  {password}
  Clusters  {names}
  Admin     http://{admin}/metrics
{everywhere}
In another terminal, the clusters, and the events of all of them:

  export FEDGATE_PASSWORD='{password}'
  {fedgate} status --url {url} --user {user}
  {fedgate} list event --all-namespaces --url {url} --user {user}
  {fedgate} list check --namespace default@alpha --url {url} --user {user}

With curl: who answered, and one event of alpha:

  TOKEN=$(curl -s -u '{user}:{password}' {url}/auth | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -si -H "Authorization: Bearer $TOKEN" {url}/api/core/v2/namespaces | grep -i fedgate
  curl -s -H "Authorization: Bearer $TOKEN" '{url}/api/core/v2/namespaces/default@alpha/events?limit=1'

With sensuctl, whose own login stays as it is:

  export SENSU_CONFIG_DIR={sensuctl} SENSU_CACHE_DIR={sensuctl}
  sensuctl configure -n --url {url} --username {user} --password '{password}'
  sensuctl event list --all-namespaces
  sensuctl check list --namespace default@alpha

{keys}Ctrl-C ends it.
"#
    )
}

/// The unspecified address is one to listen on, not one to connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// How the reader started this program.
fn program() -> String {
    let name = std::env::args_os().next().and_then(|name| name.into_string().ok());
    quoted(&name.unwrap_or_else(|| "fedgate".to_owned()))
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        assert_eq!(quoted("target/demo/fedgate"), "target/demo/fedgate");
        assert_eq!(quoted("/my disk/it's"), r"'/my disk/it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_url_is_one_to_connect_to() {
        for (listened, url) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:8080", "192.0.2.1:8080"),
        ] {
            assert_eq!(reachable(listened.parse().unwrap()).to_string(), url);
        }
    }
}
