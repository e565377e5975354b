//! The container file, the files for compose, Kubernetes, systemd and Debian, and the test entry agree with each other and
//! with the binary. There is no container engine and no cluster in the tests: these read the files, and run what they run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compose;
mod debian;
mod kubernetes;
mod systemd;

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// The image's user.
const USER: u64 = 65532;

/// Whether the command line accepts the arguments, which are not carried out.
#[track_caller]
fn is_accepted(args: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_fedgate")).args(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

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
    let mut from_build = Vec::new();
    for copy in instructions(&dockerfile, "COPY") {
        let (options, paths): (Vec<&str>, Vec<&str>) =
            copy.split_whitespace().partition(|word| word.starts_with("--"));
        let (_, sources) = paths.split_last().unwrap();
        if options.contains(&"--from=build") {
            from_build.extend(sources.iter().map(|source| (*source).to_owned()));
        } else {
            for source in sources {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(source).exists(), "COPY {source}");
            }
        }
    }
    assert_eq!(from_build, ["/libraries/lib/", "/build/target/dist/fedgate", "/image/var/lib/"]);
    assert_eq!(instructions(&dockerfile, "WORKDIR"), ["/build"]);
    let builds: Vec<_> = dockerfile.lines().filter(|line| line.contains("cargo build")).collect();
    assert_eq!(builds.len(), 2, "of the dependencies, then of the crate");
    assert!(builds.iter().all(|line| line.contains("cargo build --profile dist --locked --bin fedgate")));
    let profile = read("Cargo.toml");
    assert!(profile.contains("[profile.dist]\ninherits = \"release\"\nstrip = \"symbols\"\n"));
}

/// The layer of the dependencies is built with empty targets; cargo refuses a manifest that names one that is missing.
#[test]
fn the_image_makes_every_target_that_the_manifest_names() {
    let dockerfile = read("Dockerfile");
    let (_, after) = dockerfile.split_once("src/lib.rs $(").unwrap();
    let (command, _) = after.split_once(") \\\n").unwrap();
    let output =
        Command::new("sh").args(["-c", command]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let mut made: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    made.sort();
    let benches = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")).unwrap();
    let paths = benches.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut wanted: Vec<String> =
        files.map(|path| format!("benches/{}", path.file_name().unwrap().to_str().unwrap())).collect();
    wanted.sort();
    assert_eq!(made, wanted);
}

#[test]
fn the_image_runs_as_an_ordinary_user_with_a_volume_for_the_registry() {
    let dockerfile = read("Dockerfile");
    assert_eq!(instructions(&dockerfile, "USER"), [format!("{USER}:{USER}")]);
    assert_eq!(instructions(&dockerfile, "EXPOSE"), ["8080 9180"]);
    assert_eq!(fedgate::listener::Config::default().address.port(), 8080);
    assert_eq!(fedgate::listener::Admin::default().address.port(), 9180);
    let volume = exec_form(&instructions(&dockerfile, "VOLUME")[0]);
    let registry = fedgate::config::Root::default().store.embedded.path;
    assert_eq!(registry.parent().unwrap().display().to_string(), volume[0]);
    // Group 0 is that of a user that OpenShift makes up.
    assert!(dockerfile.contains(&format!("install -d -m 0770 /image{}\n", volume[0])));
    assert!(dockerfile.contains(&format!("--chown={USER}:0 /image/var/lib/ /var/lib/\n")));
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
    for name in [".ci/test", ".ci/run", ".ci/package"] {
        let mode =
            fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
    assert!(read(".ci/run").contains("/test\""));
    for script in [".ci/test", ".ci/package"] {
        let status =
            Command::new("bash").args(["-n", script]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.unwrap().success(), "{script}");
    }
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

/// The quick start must not wait for the optimization of a release.
#[test]
fn the_demo_of_the_readme_is_built_with_a_profile_that_exists() {
    let readme = read("README.md");
    let command = readme.lines().find(|line| line.starts_with("cargo run ")).expect("a quick start");
    assert_eq!(command, "cargo run --profile demo -- demo");
    let manifest = read("Cargo.toml");
    let profile =
        manifest.split_once("[profile.demo]\n").expect("a profile").1.split("\n\n").next().expect("it");
    for line in ["inherits = \"release\"", "lto = \"off\"", "opt-level = 0"] {
        assert!(profile.lines().any(|other| other == line), "{line}");
    }
}
