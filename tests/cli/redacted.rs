//! Values that Sensu hides are not overwritten with the word that it shows in their place.

use http::Method;
use serde_json::{Value, json};

use crate::{
    server::{Server, answer},
    user::User,
};

const PATH: &str = "/api/core/v2/namespaces/default/entities/e";

fn entity(redact: &Value) -> Value {
    json!({"metadata": {"name": "e", "namespace": "default", "labels": {"region": "eu", "password": "s3cret"},
        "annotations": {"Api-Key": "k3y"}}, "entity_class": "proxy", "subscriptions": ["linux"], "redact": redact})
}

/// What the label holds, which the API does not show: the entity is read with another list of what to hide.
fn stored(server: &Server) -> Vec<String> {
    let token = text(&server.log_in()["access_token"]);
    let output = std::process::Command::new("curl")
        .args(["-sf", "-X", "PATCH", "-d", r#"{"redact":["nothing"]}"#])
        .args([
            "-H",
            &format!("Authorization: Bearer {token}"),
            "-H",
            "Content-Type: application/merge-patch+json",
        ])
        .arg(format!("{}{PATH}", server.url))
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    vec![text(&shown["metadata"]["labels"]["password"]), text(&shown["metadata"]["annotations"]["Api-Key"])]
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn create_refuses_to_overwrite_a_hidden_value_and_keeps_it_on_request() {
    for (redact, fields) in [
        (json!([]), "labels.password, annotations.Api-Key"),
        (json!(["PASSWORD", "api_key"]), "labels.password, annotations.Api-Key"),
    ] {
        let server = Server::start();
        let user = User::of(&server);
        server.sensu.apply(&Method::PUT, PATH, &entity(&redact));
        for format in ["yaml", "wrapped-json"] {
            let dump = user.ok(&["dump", "entity", "--format", format]);
            assert!(dump.contains("REDACTED") && !dump.contains("s3cret"), "{dump}");
            user.write("handler", "type: Handler\nmetadata: {name: h}\nspec: {type: pipe, command: cat}\n");
            server.take_asked();
            let done = user.run_with(&["create", "-f", "handler", "-"], &dump);
            let expected = format!(
                "standard input, document 1 (Entity \"e\" in default): REDACTED would overwrite what Sensu hides in {fields}: \
                 write the values, or give --keep-redacted"
            );
            assert_eq!((done.code, done.line()), (Some(78), expected));
            assert_eq!(server.take_lines(), [format!("GET {PATH}")], "nothing is written");

            let changed = dump.replace("eu", "us");
            let done = user.run_with(&["create", "--keep-redacted"], &changed);
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{format}");
        }
        assert!(user.ok(&["info", "entity", "e", "--format", "yaml"]).contains("region: us"));
        assert_eq!(stored(&server), ["s3cret", "k3y"]);
    }
}

#[test]
fn a_value_that_is_given_or_is_not_there_is_written() {
    let server = Server::start();
    let user = User::of(&server);
    let file = |password: &str| {
        user.write(
            "f",
            &format!("type: Entity\nmetadata: {{name: e, labels: {{password: {password}}}}}\nspec: {{entity_class: proxy}}\n"),
        );
    };
    file("REDACTED");
    let done = user.run(&["create", "-f", "f"]);
    let note = "f, document 1 (Entity \"e\" in default): its hidden values are not in the file: REDACTED is written in their place";
    assert_eq!((done.code, done.line().as_str()), (Some(0), note));
    file("new");
    user.ok(&["create", "-f", "f"]);
    assert_eq!(server.take_asked().pop().unwrap().json()["metadata"]["labels"]["password"], "new");
    assert_eq!(stored(&server)[0], "new");
}

#[test]
fn what_a_patch_cannot_do_is_refused() {
    let server = Server::start();
    let user = User::of(&server);
    server.sensu.apply(&Method::PUT, PATH, &entity(&json!([])));
    user.write(
        "f",
        "type: Entity\nmetadata: {name: e, labels: {password: REDACTED}}\nspec: {entity_class: proxy}\n",
    );
    let line = user.fails(&["create", "--keep-redacted", "-f", "f"], 78);
    assert!(line.ends_with("in labels.password: Sensu cannot keep them and remove labels.region: write the values, or keep labels.region"), "{line}");
    let event = json!({"entity": entity(&json!([])), "check": {"metadata": {"name": "c", "namespace": "default"}, "interval": 1}});
    let shown = event.to_string().replace("s3cret", "REDACTED").replace("k3y", "other");
    let shown = shown.replace("\"entity_class\":\"proxy\"", "\"entity_class\":\"agent\"");
    server.always("/api/core/v2/namespaces/default/events/e/c", 200, &[], &shown);
    user.write("f", &format!(r#"{{"type":"Event","spec":{shown}}}"#));
    let line = user.fails(&["create", "--keep-redacted", "-f", "f"], 78);
    assert!(line.ends_with("in labels.password: Sensu cannot keep those of an event: write the values, or leave the event out"), "{line}");
    // In place of an entity that no agent sends with it, Sensu takes its own, whose values it has.
    user.write("f", &format!(r#"{{"type":"Event","spec":{}}}"#, shown.replace("\"agent\"", "\"proxy\"")));
    user.ok(&["create", "-f", "f"]);
    assert_eq!(stored(&server)[0], "s3cret");
}

#[test]
fn edit_refuses_to_overwrite_a_hidden_value_and_keeps_it_on_request() {
    let server = Server::start();
    let mut user = User::of(&server);
    server.sensu.apply(&Method::PUT, PATH, &entity(&json!([])));
    user.edit_with("sed -i 's/region: eu/region: us/' \"$1\"");
    let line = user.fails(&["edit", "entity", "e"], 1);
    let expected = "not saved: REDACTED would overwrite what Sensu hides in labels.password, annotations.Api-Key: \
                    write the values, or edit it with --keep-redacted (your text is kept in ";
    assert!(line.starts_with(expected), "{line}");
    assert!(server.take_lines().iter().all(|line| line.starts_with("GET")));
    assert_eq!(user.ok(&["edit", "entity", "e", "--keep-redacted"]), "updated entity \"e\"\n");
    assert!(user.ok(&["info", "entity", "e", "--format", "yaml"]).contains("region: us"));
    assert_eq!(stored(&server), ["s3cret", "k3y"]);
    server.sensu.apply(&Method::PUT, PATH, &entity(&json!([])));
    user.edit_with("sed -i 's/REDACTED/mine/' \"$1\"");
    assert_eq!(user.ok(&["edit", "entity", "e"]), "updated entity \"e\"\n", "the values are given");
    assert_eq!(stored(&server), ["mine", "mine"]);
}

#[test]
fn a_server_that_cannot_say_what_it_hides_ends_the_command() {
    let server = Server::start();
    let user = User::of(&server);
    user.write(
        "f",
        "type: Entity\nmetadata: {name: e, labels: {password: REDACTED}}\nspec: {entity_class: proxy}\n",
    );
    server
        .rule(|asked| (asked.method == "GET").then(|| answer(500, &[], r#"{"code":0,"message":"broken"}"#)));
    assert!(user.fails(&["create", "-f", "f"], 1).contains("broken"));
    assert_eq!(server.take_lines(), [format!("GET {PATH}")]);
}
