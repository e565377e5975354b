//! `config/fedgate.service` and `config/fedgate.sysusers`.

use std::process::Command;

use fedgate::{config::Root, types::units};

use super::{is_accepted, read};

/// The last value of a setting, as systemd takes it.
fn setting(unit: &str, name: &str) -> String {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.next_back().unwrap_or_else(|| panic!("{name} is not set")).to_owned()
}

#[test]
fn the_unit_runs_a_command_that_exists_and_lets_it_stop() {
    let unit = read("config/fedgate.service");
    let command = setting(&unit, "ExecStart");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words[0], "/usr/bin/fedgate");
    is_accepted(&words[1..]);
    assert_eq!(setting(&unit, "Type"), "notify");
    assert_eq!(setting(&unit, "ExecReload"), "/bin/kill -HUP $MAINPID");
    let root = Root::default();
    let patience = units::parse_duration(&setting(&unit, "TimeoutStopSec")).unwrap();
    assert!(patience > root.shutdown.announce + root.shutdown.drain);
    let files: usize = setting(&unit, "LimitNOFILE").parse().unwrap();
    assert!(files > 2 * root.limits.connections, "half of the files are for clients");
    let state = format!("/var/lib/{}", setting(&unit, "StateDirectory"));
    assert_eq!(root.store.embedded.path.parent().unwrap().to_str(), Some(&*state));
    let user = format!("u {} - \"fedgate gateway\" {state}\n", setting(&unit, "User"));
    assert!(read("config/fedgate.sysusers").contains(&user));
}

#[test]
fn the_unit_exposes_little() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/config/fedgate.service");
    let analysis =
        Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=20", unit]).output();
    let Ok(analysis) = analysis else {
        println!("skipped: systemd-analyze is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&analysis.stdout);
    if !said.contains("exposure level") {
        println!("skipped: this systemd-analyze cannot look at a file ({})", analysis.status);
        return;
    }
    assert!(analysis.status.success(), "more than 2.0: {said}");
}
