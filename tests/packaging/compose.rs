//! `config/compose.yaml`: read, and run as processes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use fedgate::{config, types::units};
use serde_json::Value;

use super::{is_accepted, read, strings, yaml};

fn compose() -> Value {
    yaml(&read("config/compose.yaml"))
}

fn gateway_config(compose: &Value) -> &str {
    compose["configs"]["gateway"]["content"].as_str().unwrap()
}

#[test]
fn every_service_of_the_composed_demo_fits_the_command_line_and_the_image() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().map(String::as_str).collect::<Vec<_>>(),
        ["local-cluster", "alpha", "beta", "gateway"]
    );
    for (name, service) in services {
        assert_eq!(service["image"], "fedgate");
        assert_eq!(service["build"]["context"], "..");
        assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"ALL".into()), "{name}");
        for needed in service["depends_on"].as_object().into_iter().flatten().map(|(needed, _)| needed) {
            assert!(services.contains_key(needed), "{name} needs {needed}");
            assert!(services[needed]["healthcheck"].is_object(), "{needed} has no health to wait for");
        }
        let Some(command) = service.get("command") else { continue };
        let command = strings(command);
        assert_eq!(command[..2], ["simulate", name.as_str()]);
        is_accepted(&command);
        let health = strings(&service["healthcheck"]["test"]);
        assert_eq!(health[..3], ["CMD", "/usr/bin/fedgate", "health"]);
        is_accepted(&health[2..]);
    }
    for volume in services.values().flat_map(|service| strings(&service["volumes"])) {
        let name = volume.split(':').next().unwrap();
        assert!(compose["volumes"].get(name).is_some(), "{volume}");
    }
    assert_eq!(services["gateway"]["configs"][0]["target"], "/etc/fedgate/fedgate.yaml");
}

#[test]
fn the_composed_gateway_names_the_services_and_has_time_to_stop() {
    let compose = compose();
    let root = config::parse(gateway_config(&compose), "compose.yaml", &BTreeMap::new()).unwrap();
    for cluster in root.snapshot().iter() {
        let authority = cluster.backends[0].authority();
        assert_eq!(authority, format!("{}:8080", cluster.name), "{}", cluster.name);
        assert!(compose["services"].get(cluster.name.as_str()).is_some());
    }
    let grace = compose["services"]["gateway"]["stop_grace_period"].as_str().unwrap();
    let grace = units::parse_duration(grace).unwrap();
    assert!(grace > root.shutdown.announce + root.shutdown.drain);
}

/// Ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the command and reads its output up to the address after these words.
fn start(args: &[&str], words: &str) -> (Process, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fedgate"))
        .args(args)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let process = Process(child);
    let lines: Box<dyn Iterator<Item = _>> =
        if args[0] == "serve" { Box::new(stderr.lines()) } else { Box::new(stdout.lines()) };
    for line in lines.map_while(Result::ok) {
        if let Some((_, address)) = line.split_once(words) {
            let end = address.find(['"', ' ']).unwrap_or(address.len());
            return (process, address[..end].to_owned());
        }
    }
    panic!("{args:?} ended without {words:?}");
}

#[test]
fn the_composed_demo_works_as_processes() {
    let compose = compose();
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys").display().to_string();
    let mut gateway = gateway_config(&compose).replace("0.0.0.0:8080", "127.0.0.1:0").replace("/keys", &keys)
        + &format!(
            "admin: {{ address: \"127.0.0.1:0\" }}\nstore: {{ embedded: {{ path: {}/r.redb }} }}\n",
            directory.path().display()
        );
    let mut running = Vec::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        let Some(command) = service.get("command") else { continue };
        let command: Vec<&str> = strings(command)
            .into_iter()
            .map(|word| match word {
                "0.0.0.0:8080" => "127.0.0.1:0",
                "/var/lib/fedgate" => &keys,
                word => word,
            })
            .collect();
        let (process, url) = start(&command, " listens on ");
        gateway = gateway.replace(&format!("http://{name}:8080"), &url);
        running.push(process);
    }
    let path = directory.path().join("fedgate.yaml");
    fs::write(&path, gateway).unwrap();
    let (_gateway, main) = start(&["serve", "--config", path.to_str().unwrap()], "\"main\":\"");
    let clusters = list_of_clusters(&main, directory.path());
    for name in ["local-cluster", "alpha", "beta"] {
        assert!(clusters.split_whitespace().any(|word| word == name), "{name}: {clusters}");
    }
}

/// The namespaces of all clusters as a table, read with the demo's login.
fn list_of_clusters(gateway: &str, home: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fedgate"))
        .args(["list", "namespace", "--url", &format!("http://{gateway}"), "--user", "admin"])
        .env_clear()
        .env("FEDGATE_PASSWORD", "P@ssw0rd!")
        .env("HOME", home)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
