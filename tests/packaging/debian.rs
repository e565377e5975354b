//! The Debian package: what `cargo deb` reads from the manifest, and what it packs besides.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::{read, strings};

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"][0]["metadata"]["deb"].clone()
}

#[test]
fn the_package_has_what_it_names() {
    let (deb, script) = (metadata(), read(".ci/package"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut targets = Vec::new();
    for asset in deb["assets"].as_array().unwrap() {
        let [source, target, mode] = strings(asset)[..] else { panic!("{asset}") };
        let directory = source.rsplit_once('/').map_or(".", |(directory, _)| directory);
        if source.starts_with("target/package/") {
            assert!(script.contains(source) || script.contains(directory), "{source} is not made");
        } else if source.contains('*') {
            assert!(root.join(directory).is_dir(), "{source}");
        } else {
            assert!(root.join(source).is_file(), "{source}");
        }
        assert_eq!(mode, if target == "usr/bin/" { "755" } else { "644" }, "{target}");
        targets.push(format!("/{target}"));
    }
    for file in strings(&deb["conf-files"]) {
        assert!(targets.iter().any(|target| target == file), "{file}");
    }
    let unit = &deb["systemd-units"][0];
    let file =
        format!("{}/{}.service", unit["unit-scripts"].as_str().unwrap(), unit["unit-name"].as_str().unwrap());
    assert!(root.join(&file).is_file() && root.join(file.replace(".service", ".sysusers")).is_file());
    // The first configuration is an example: nothing to start with.
    assert_eq!((&unit["enable"], &unit["start"]), (&false.into(), &false.into()));
}

#[test]
fn the_maintainer_scripts_are_scripts_that_know_the_files() {
    let directory = metadata()["maintainer-scripts"].as_str().unwrap().to_owned();
    for (name, mention) in
        [("postinst", "systemd-sysusers fedgate.conf"), ("postrm", "rm -rf /var/lib/fedgate")]
    {
        let path = format!("{directory}/{name}");
        let text = read(&path);
        assert!(text.starts_with("#!/bin/sh\nset -e\n") && text.ends_with("\n#DEBHELPER#\n"), "{path}");
        assert!(text.contains(mention), "{path}");
        let checked =
            Command::new("sh").args(["-n", &path]).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(checked.success(), "{path}");
    }
}

fn fedgate(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fedgate")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_a_manual_page_and_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man/man1");
    fedgate(&["man", pages.to_str().unwrap()]);
    let help = fedgate(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> =
        commands.map_while(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    assert!(commands.len() > 12, "{commands:?}");
    let overview = fs::read_to_string(pages.join("fedgate.1")).unwrap();
    assert_eq!(overview, fedgate(&["man"]));
    for command in &commands {
        let page = fs::read_to_string(pages.join(format!("fedgate-{command}.1"))).unwrap();
        assert!(page.contains(&format!(".TH fedgate-{command} 1")), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = fedgate(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let file = directory.path().join("fedgate");
    fs::write(&file, fedgate(&["completions", "bash"])).unwrap();
    let complete = format!(
        "source {}; COMP_WORDS=(fedgate st); COMP_CWORD=1; _fedgate fedgate st fedgate; echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let output = Command::new("bash").args(["-c", &complete]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "status", "{output:?}");
}
