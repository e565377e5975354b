use std::fs;

use serde_json::json;

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn new(url: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let cluster = json!({"api-url": url, "trusted-ca-file": "/saved/ca.pem",
            "insecure-skip-tls-verify": true, "access_token": "a", "expires_at": 1, "refresh_token": "r",
            "timeout": 7_000_000_000_u64});
        fs::write(home.0.path().join("cluster"), cluster.to_string()).unwrap();
        fs::write(home.0.path().join("profile"), r#"{"format":"wrapped-json","namespace":"ops"}"#).unwrap();
        home
    }

    fn settings(&self, connection: &Connection, more: &[(&str, &str)]) -> Result<Settings, Failure> {
        connection.settings_in(&self.environment(more))
    }

    fn environment(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let directory = self.0.path().display().to_string();
        let mut environment = BTreeMap::from([("SENSU_CONFIG_DIR".to_owned(), directory)]);
        environment.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        environment
    }
}

fn to(url: &str) -> Connection {
    Connection { url: Some(url.to_owned()), ..Connection::default() }
}

#[test]
fn without_options_all_is_as_sensuctl_saved_it() {
    let settings = Home::new("https://gw").settings(&Connection::default(), &[]).unwrap();
    assert_eq!(settings.base.to_string(), "https://gw");
    assert!(matches!(settings.credential, Credential::Saved { .. }));
    assert_eq!(settings.tls.trusted_ca_file, Some("/saved/ca.pem".into()));
    assert!(settings.tls.insecure_skip_tls_verify);
    assert_eq!((settings.timeout, settings.namespace.as_str()), (Duration::from_secs(7), "ops"));
    assert_eq!(settings.format, Format::WrappedJson);
}

#[test]
fn environment_beats_files_and_flags_beat_both() {
    let home = Home::new("https://gw");
    let variables = [
        ("SENSU_API_URL", "https://gw/c/alpha"),
        ("SENSU_NAMESPACE", "web"),
        ("SENSU_TIMEOUT", "1m30s"),
        ("SENSU_FORMAT", "json"),
        ("SENSU_API_KEY", "key"),
    ];
    let settings = home.settings(&Connection::default(), &variables).unwrap();
    assert_eq!(settings.base.to_string(), "https://gw/c/alpha");
    assert_eq!((settings.namespace.as_str(), settings.timeout.as_secs()), ("web", 90));
    assert_eq!(settings.format, Format::Json);
    assert!(matches!(settings.credential, Credential::Key(key) if key == "key"));
    let flags = Connection {
        user: Some("ann".into()),
        namespace: Some("d@beta".into()),
        timeout: Some("2s".into()),
        ..to("https://gw")
    };
    let settings = home.settings(&flags, &variables).unwrap();
    assert_eq!((settings.namespace.as_str(), settings.timeout.as_secs()), ("d@beta", 2));
    assert!(matches!(settings.credential, Credential::User { name, .. } if name == "ann"));
}

#[test]
fn a_long_answer_is_waited_for_unless_the_command_is_told_otherwise() {
    let home = Home::new("https://gw");
    let timeout = |connection: &Connection, variables: &[(&str, &str)], patience: u64| {
        let environment = home.environment(variables);
        let settings = connection.patient_settings_in(&environment, Duration::from_secs(patience));
        settings.unwrap().timeout.as_secs()
    };
    let saved = Connection::default();
    assert_eq!(timeout(&saved, &[], 30), 30, "7 s are saved");
    assert_eq!(timeout(&saved, &[], 5), 7);
    assert_eq!(timeout(&saved, &[("SENSU_TIMEOUT", "9s")], 30), 9);
    let flag = Connection { timeout: Some("2s".into()), ..Connection::default() };
    assert_eq!(timeout(&flag, &[("SENSU_TIMEOUT", "90s")], 30), 2);
}

#[test]
fn nothing_that_was_saved_goes_to_another_server() {
    let home = Home::new("https://gw");
    for url in ["https://evil", "http://gw", "https://gw:8443"] {
        let refused = home.settings(&to(url), &[]).err().unwrap();
        assert!(refused.line.starts_with("not logged in to "), "{url}: {}", refused.line);
        let variables = [("SENSU_API_URL", url)];
        assert!(home.settings(&Connection::default(), &variables).is_err(), "{url}");
    }
    let other = Connection { user: Some("ann".into()), ..to("https://other") };
    let settings = home.settings(&other, &[]).unwrap();
    assert_eq!(settings.tls, TlsFiles::default());
    // Another path of the same server may, and what renews the tokens stays.
    let settings = home.settings(&to("https://GW:443/c/alpha/"), &[]).unwrap();
    let Credential::Saved { base, .. } = settings.credential else { panic!() };
    assert_eq!((base.prefix.as_str(), settings.base.prefix.as_str()), ("", "/c/alpha"));
}

#[test]
fn mistakes_have_the_code_of_where_they_were_made() {
    let home = Home::new("https://gw");
    let code = |connection: &Connection, variables: &[(&str, &str)]| {
        home.settings(connection, variables).err().unwrap().code
    };
    assert_eq!(code(&to("gw:8080"), &[]), USAGE);
    assert_eq!(code(&Connection::default(), &[("SENSU_API_URL", "gw")]), CONFIG);
    assert_eq!(code(&Connection { namespace: Some("a@b@c".into()), ..Connection::default() }, &[]), USAGE);
    assert_eq!(code(&Connection { timeout: Some("soon".into()), ..Connection::default() }, &[]), USAGE);
    assert_eq!(Connection::default().settings_in(&BTreeMap::new()).err().unwrap().code, CONFIG);
}

#[test]
fn durations_are_written_as_in_go() {
    for (text, millis) in [("15s", 15_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("250ms", 250)] {
        assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "15", "s", "0s", "-1s", "1d", "1..5s", "99999h"] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn a_damaged_file_matters_only_to_who_needs_it() {
    let home = Home::new("https://gw");
    let refused = |connection: &Connection, variables: &[(&str, &str)]| {
        let failure = home.settings(connection, variables).err().unwrap();
        assert_eq!(failure.code, CONFIG, "{}", failure.line);
        failure.line
    };
    let with_key = || Connection { api_key: Some("key".into()), ..to("https://other") };
    let with_user = || Connection { user: Some("ann".into()), ..Connection::default() };
    let of_environment = [("SENSU_API_URL", "https://other"), ("SENSU_API_KEY", "key")];
    for (file, text, mention) in [
        ("cluster", "{\"api-url\":", "/cluster is damaged"),
        ("cluster", r#"{"api-url": "gw:8080"}"#, "/cluster must be http:// or https://"),
        ("profile", "\0", "/profile is damaged"),
    ] {
        let path = home.0.path().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        for needs_it in [Connection::default(), with_user(), to("https://other")] {
            let line = refused(&needs_it, &[]);
            assert!(line.contains(mention), "{file}: {line}");
        }
        let settings = home.settings(&with_key(), &[]).unwrap();
        assert_eq!(settings.base.to_string(), "https://other");
        assert_eq!(settings.namespace, if file == "profile" { "default" } else { "ops" });
        assert!(home.settings(&Connection { url: Some("https://x".into()), ..with_user() }, &[]).is_ok());
        assert!(home.settings(&Connection::default(), &of_environment).is_ok());
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn without_a_home_nothing_is_saved() {
    let refused = Connection::default().settings_in(&BTreeMap::new()).err().unwrap();
    assert_eq!(refused.line, "no server: log in with fedgate configure, or give --url");
    let refused = to("https://gw").settings_in(&BTreeMap::new()).err().unwrap();
    assert!(refused.line.starts_with("not logged in to https://gw"), "{}", refused.line);
    let own = Connection { api_key: Some("key".into()), ..to("https://gw") };
    assert!(own.settings_in(&BTreeMap::new()).is_ok());
}
