//! Commands run.
//!
//! The `sh` blocks of a page are one script, run by bash in an empty directory, which stops at the first failure. What it
//! calls is found in `stand_ins/` first:
//!
//! * `fedgate` and `curl` are the real ones and talk to a demo, in place of the hosts that the page names. What would run for
//!   ever, or needs the page's own servers, is parsed by the real command line only.
//! * `sensuctl`, `docker`, `kubectl`, `systemctl` and others that change a machine, `cargo` and the scripts of `.ci` do
//!   nothing, but `cargo` wants the targets that it is told to exist.
//! * All else (`openssl`, `cp`, `find`, …) is what the system has.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use fedgate::auth::{KeyFiles, SigningKey};

use super::{
    demo::{Demo, FEDGATE},
    markdown::{Page, page, pages, root},
};

/// Programs that change a machine or a server.
const CHANGING: [&str; 9] =
    ["apt-get", "chmod", "chown", "docker", "etcdctl", "kubectl", "podman", "sensuctl", "systemctl"];

/// Where the pages have certificates.
const CERTIFICATES: &str = "/etc/sensu/certs";

fn script(page: &Page) -> String {
    let blocks = page.blocks.iter().filter(|block| block.language == "sh");
    blocks.map(|block| block.text.as_str()).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Makes `directory` one in which the page's script can run.
fn furnish(directory: &Path, page: &Page) {
    for name in ["fedgate", "curl", "cargo", "nothing"] {
        let path = directory.join("bin").join(name);
        write(&path, &fs::read_to_string(root().join("tests/docs/stand_ins").join(name)).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(directory.join(".ci")).unwrap();
    let others = CHANGING.iter().map(|name| format!("bin/{name}"));
    for name in others.chain([".ci/test", ".ci/package"].map(str::to_owned)) {
        std::os::unix::fs::symlink(directory.join("bin/nothing"), directory.join(&name)).unwrap();
    }
    for name in ["index.html", "stats.json", "app.js"] {
        write(&directory.join("build/app").join(name), "a web UI");
    }
    let certificate = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
    for name in ["ca.pem", "gateway.pem"] {
        write(&directory.join("certs").join(name), &certificate.cert.pem());
    }
    write(&directory.join("certs/gateway-key.pem"), &certificate.signing_key.serialize_pem());
    let certificates = directory.join("certs").display().to_string();
    for block in &page.blocks {
        if let Some(name) = block.file() {
            write(&directory.join(name), &block.text.replace(CERTIFICATES, &certificates));
        }
    }
}

/// Runs a page's commands in a directory of its own, which is what it returns.
fn run(page: &Page) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    furnish(directory.path(), page);
    let demo = Demo::start();
    let login = demo.log_in();
    // What `sensuctl configure` would have written.
    let saved = serde_json::json!({
        "api-url": demo.printed("URL"),
        "access_token": login["access_token"],
        "refresh_token": login["refresh_token"],
        "expires_at": login["expires_at"],
    });
    write(&directory.path().join(".config/sensu/sensuctl/cluster"), &saved.to_string());
    let path = format!("{}:{}", directory.path().join("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script(page)])
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", directory.path())
        .env("EDITOR", "true")
        .env("FEDGATE", FEDGATE)
        .env("REPOSITORY", root())
        .env("DEMO_URL", demo.printed("URL"))
        .env("DEMO_ADMIN", demo.admin())
        .env("DEMO_USER", format!("{}:{}", demo.printed("User"), demo.printed("Password")))
        .env("TOKEN", login["access_token"].as_str().unwrap())
        .env("ADMIN_USER", demo.printed("User"))
        .env("ADMIN_PASSWORD", demo.printed("Password"))
        .env("VIEWER_PASSWORD", "as you like")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{said}", page.name, output.status);
    directory
}

#[test]
fn every_command_of_every_page_works() {
    let mut ran = 0;
    for page in pages() {
        if !script(&page).is_empty() && page.name != GUIDE {
            run(&page);
            ran += 1;
        }
    }
    assert!(ran >= 4, "only {ran} pages have commands");
}

#[test]
fn the_guides_commands_work_and_make_a_key_pair_that_the_gateway_takes() {
    let directory = run(&page(GUIDE));
    let keys = KeyFiles::load(&[directory.path().join("jwt_public.pem")]).unwrap();
    SigningKey::load(&directory.path().join("jwt_private.pem"), &keys).unwrap();
    assert!(directory.path().join("sensu-web/app.js").exists(), "a web UI");
}

const GUIDE: &str = "docs/guide.md";
