//! Tables name what there is: every key, every option, every metric, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use fedgate::config::known_keys;

use super::{
    demo::{Demo, FEDGATE},
    markdown::{code, page, root, rows},
};

/// The values that a YAML text writes, by dotted key.
fn written(yaml: &str) -> BTreeMap<String, String> {
    let mut sections: Vec<(usize, &str)> = Vec::new();
    let mut values = BTreeMap::new();
    for line in yaml.lines() {
        let text = line.trim_start();
        let Some((key, value)) = text.split_once(':').filter(|_| !text.starts_with('#')) else { continue };
        let indent = line.len() - text.len();
        sections.retain(|(depth, _)| *depth < indent);
        sections.push((indent, key));
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches('"');
        let key = sections.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".");
        values.insert(key, value.to_owned());
    }
    values
}

#[test]
fn the_configuration_tables_have_every_key_with_its_default() {
    let page = page("docs/configuration.md");
    let defaults = written(&fs::read_to_string(root().join("config/fedgate.yaml")).unwrap());
    let mut listed = BTreeSet::new();
    for row in rows(&page.text).iter().filter(|row| row[0].starts_with('`')) {
        let [key, default, applies, ..] = row.as_slice() else { panic!("{row:?}") };
        let key = key.trim_matches('`');
        assert!(known_keys().iter().any(|known| known == key), "{key} is no key");
        assert!(matches!(applies.as_str(), "reload" | "restart"), "{key}: {applies:?}");
        assert!(listed.insert(key.to_owned()), "{key} is there twice");
        let default = default.trim_matches('`');
        match defaults.get(key) {
            // It has an example there.
            _ if default == "required" || EXAMPLES.contains(&key) => {}
            Some(value) => assert_eq!(value, default, "the default of {key}"),
            None => assert!(key.starts_with("clusters[]."), "{key}"),
        }
    }
    for key in known_keys() {
        assert!(listed.contains(key), "{key} has no row");
    }
}

#[test]
fn the_command_line_page_has_every_command_with_its_options() {
    let page = page("docs/cli.md");
    let help = |args: &[&str]| {
        let output = Command::new(FEDGATE).args(args).arg("--help").env_clear().output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shared = page.section("## Resources");
    let shared = options(shared.split("### ").next().unwrap());
    let overview = help(&[]);
    let commands = overview.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let mut count = 0;
    for command in commands {
        let own = options(&page.section(&format!("### fedgate {command}")));
        let help = help(&[command]);
        let defined: BTreeSet<String> = help
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'))
            .filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")))
            .map(str::to_owned)
            .filter(|option| option != "--help")
            .collect();
        for option in &own {
            assert!(defined.contains(option), "fedgate {command} has no {option}: {defined:?}");
        }
        let is_client = defined.contains("--api-key");
        for option in &defined {
            let is_shared = is_client && shared.contains(option);
            assert!(own.contains(option) || is_shared, "fedgate {command}: {option} is not described");
        }
        if is_client {
            assert!(shared.is_subset(&defined), "fedgate {command}: {shared:?}");
        }
        count += 1;
    }
    assert_eq!(count, 23, "commands in {overview}");
}

/// The long options that the first column of tables has.
fn options(text: &str) -> BTreeSet<String> {
    let rows = rows(text);
    let codes = rows.iter().flat_map(|row| code(&row[0]));
    let names = codes.filter_map(|code| code.split(' ').next());
    names.filter(|name| name.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn the_metrics_table_has_every_family_with_its_type() {
    let page = page("docs/operations.md");
    let listed: BTreeSet<(String, String)> = rows(&page.section("## Metrics"))
        .iter()
        .filter(|row| row[0].starts_with('`'))
        .map(|row| (row[0].trim_matches('`').split('{').next().unwrap().to_owned(), row[1].clone()))
        .collect();
    let reported = Demo::start().metrics();
    let reported: BTreeSet<(String, String)> = reported
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| {
            // OpenMetrics names a counter's family without the suffix of its samples.
            let is_bare = kind == "counter" && !name.ends_with("_total");
            (if is_bare { format!("{name}_total") } else { name.to_owned() }, kind.to_owned())
        })
        .collect();
    assert!(reported.len() > 5, "{reported:?}");
    for family in &reported {
        assert!(listed.contains(family), "{family:?} is not described");
    }
    // A demo neither replicates nor records, and renews no sessions.
    let is_optional = |name: &str| OPTIONAL.iter().any(|prefix| name.starts_with(prefix));
    let is_there = |family: &(String, String)| reported.contains(family) || is_optional(&family.0);
    for family in &listed {
        assert!(is_there(family), "there is no {family:?}");
    }
}

#[test]
fn the_architecture_names_modules_and_keys_that_exist() {
    let page = page("docs/architecture.md");
    let mut seen = 0;
    for (line, text) in &page.prose {
        for name in code(text) {
            let is_path = |separator: &str| {
                let mut parts = name.split(separator);
                let is_word = |part: &str| {
                    !part.is_empty()
                        && part.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-' | '0'..='9'))
                };
                name.contains(separator) && parts.all(is_word)
            };
            let is_there = if is_path("::") && !name.starts_with("clippy::") {
                let path = format!("src/{}", name.replace("::", "/"));
                root().join(&path).is_dir() || root().join(format!("{path}.rs")).is_file()
            } else if is_path(".") {
                known_keys().iter().any(|key| key == name)
            } else {
                continue;
            };
            assert!(is_there, "{}:{line}: {name}", page.name);
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} names");
}

/// Families that are there when they are configured.
const OPTIONAL: [&str; 3] = ["fedgate_replication_", "fedgate_outage_", "fedgate_trace_"];

/// Keys without a default that `config/fedgate.yaml` shows with an example.
const EXAMPLES: [&str; 2] = ["listen.cert-file", "listen.key-file"];
