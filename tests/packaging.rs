//! The container file and the test entry agree with the repository. There is no container engine in the tests:
//! these read the text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn instructions(dockerfile: &str, name: &str) -> Vec<String> {
    let joined = dockerfile.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(ToOwned::to_owned)).collect()
}

/// The arguments of `["a", "b"]` at the end of an instruction.
fn exec_form(instruction: &str) -> Vec<String> {
    let start = instruction.find('[').expect("exec form, since the image has no shell");
    serde_json::from_str(&instruction[start..]).unwrap()
}

#[test]
fn the_image_copies_what_exists() {
    let dockerfile = read("Dockerfile");
    let mut from_build = 0;
    for copy in instructions(&dockerfile, "COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (sources, _) = words.split_at(words.len() - 1);
        if sources[0] == "--from=build" {
            assert_eq!(sources[1..], ["/build/target/release/fedgate"]);
            from_build += 1;
        } else {
            for source in sources {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "COPY {source}");
            }
        }
    }
    assert_eq!(from_build, 1);
    let workdir = instructions(&dockerfile, "WORKDIR");
    assert_eq!(workdir, ["/build"]);
}

#[test]
fn the_image_runs_as_an_ordinary_user_and_names_its_ports() {
    let dockerfile = read("Dockerfile");
    let last = instructions(&dockerfile, "FROM").pop().unwrap();
    assert!(last.ends_with(":nonroot") || !instructions(&dockerfile, "USER").is_empty(), "runs as root");
    assert_eq!(instructions(&dockerfile, "EXPOSE"), ["8080 9180"]);
    assert_eq!(fedgate::listener::Config::default().address.port(), 8080);
    assert_eq!(fedgate::listener::Admin::default().address.port(), 9180);
}

#[test]
fn the_subcommands_that_the_image_runs_exist() {
    let dockerfile = read("Dockerfile");
    let entrypoint = exec_form(&instructions(&dockerfile, "ENTRYPOINT")[0]);
    assert_eq!(entrypoint, ["/usr/bin/fedgate"]);
    let health = exec_form(&instructions(&dockerfile, "HEALTHCHECK")[0]);
    let command = exec_form(&instructions(&dockerfile, "CMD")[0]);
    assert_eq!(health[..1], entrypoint[..]);

    let help = Command::new(env!("CARGO_BIN_EXE_fedgate")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for subcommand in [&health[1], &command[0]] {
        let listed = help.lines().any(|line| line.split_whitespace().next() == Some(subcommand));
        assert!(listed, "{subcommand} is not in:\n{help}");
    }
}

#[test]
fn the_test_entry_is_executable_and_run_is_the_same() {
    use std::os::unix::fs::PermissionsExt;
    for name in [".ci/test", ".ci/run"] {
        let mode =
            fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
    assert!(read(".ci/run").contains("/test\""));
    let status =
        Command::new("bash").args(["-n", ".ci/test"]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.unwrap().success());
}

/// Who may not install packages is told how to, in a line for the terminal.
#[test]
fn the_test_entry_prints_what_to_install_as_a_line_that_can_be_pasted() {
    let script = read(".ci/test");
    let start = script.find("have() {").unwrap();
    let end = script.find("# Packages start their services").unwrap();
    let functions = format!(
        "{}{}",
        &script[start..end],
        script[script.find("# The same as this distribution").unwrap()..]
            .split("mapfile -t missing")
            .next()
            .unwrap()
    );
    let with_policy = |policy: &str| {
        let script = format!(
            "set -euo pipefail\nsay() {{ :; }}\n{functions}\napt-get() {{ :; }}\n\
             apt-cache() {{ echo '  Candidate: {policy}'; }}\nhow_to_install gcc libc6-dev etcd"
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let install = "sudo apt-get update && sudo apt-get install -y --no-install-recommends";
    assert_eq!(with_policy("3.4.23"), format!("{install} gcc libc6-dev etcd-server etcd-client\n"));
    assert_eq!(with_policy("(none)"), format!("{install} gcc libc6-dev etcd\n"));
}

#[test]
fn the_oldest_rust_that_the_pages_name_is_the_one_that_cargo_wants() {
    let manifest = read("Cargo.toml");
    let wanted = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let wanted = wanted.expect("Cargo.toml has a rust-version").trim_matches('"');
    for page in ["README.md", ".github/CONTRIBUTING.md"] {
        let named = read(page).replace('\n', " ");
        assert!(named.contains(&format!("[Rust](https://rustup.rs) {wanted} or newer")), "{page}");
    }
    for pin in ["rust-toolchain", "rust-toolchain.toml"] {
        assert!(
            !Path::new(env!("CARGO_MANIFEST_DIR")).join(pin).exists(),
            "{pin} pins everybody's toolchain"
        );
    }
}

#[test]
fn what_the_image_is_built_from_leaves_out_what_it_does_not_need() {
    let ignored = read(".dockerignore");
    let ignored: Vec<&str> = ignored.lines().collect();
    for name in [".git", ".ci", "target", "*.pem"] {
        assert!(ignored.contains(&name), "{name}");
    }
    // Cargo looks at what the manifest names.
    for name in ["Cargo.toml", "Cargo.lock", "src", "benches", "README.md"] {
        assert!(!ignored.contains(&name), "{name}");
    }
}

/// The quick start must not wait for the whole-program optimization of a release.
#[test]
fn the_demo_of_the_readme_is_built_with_a_profile_that_exists() {
    let readme = read("README.md");
    let command = readme.lines().find(|line| line.starts_with("cargo run ")).expect("a quick start");
    assert_eq!(command, "cargo run --profile demo -- demo");
    assert!(read("Cargo.toml").contains("[profile.demo]\ninherits = \"release\"\n"));
}
