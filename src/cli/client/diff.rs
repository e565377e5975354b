//! `diff`: what a replicator would do now.

use clap::Args;
use serde_json::Value;

use super::{
    http::Gateway,
    kind::Kind,
    list::{check_names, kind_named, titled},
    options::{Connection, Format, Output},
    print::{pretty, yaml_text},
    table::{Heading, Table},
    value::{list, text},
};
use crate::{
    cli::{
        Failure, INCOMPLETE, USAGE,
        look::Look,
        output::{note, print},
        text::terminal_safe,
    },
    types::ClusterName,
};

/// `fedgate diff`.
#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub(in crate::cli) struct Diff {
    /// What it is: replicator, etcd-replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Only this cluster of a replicator
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<ClusterName>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// How a replicator and one of its places compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything is as the source has it.
    Equal,
    /// Something is not.
    Differs,
    /// Not everything was compared; what was, is equal.
    Unknown,
}

// === impl Diff ===

impl Diff {
    /// Prints what differs; fails when something does, or may.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        if !is_replicator(kind) {
            return Err(Failure::new(USAGE, "only a replicator and an etcd-replicator can be compared"));
        }
        if self.cluster.is_some() && kind.type_name != "Replicator" {
            return Err(Failure::new(USAGE, "an etcd-replicator has one destination: leave out --cluster"));
        }
        let names = [self.name];
        check_names(kind, &names)?;
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let path = path(kind, &names, self.cluster.as_ref());
        let gateway = Gateway::open(settings).await?;
        let answer =
            read(&gateway, &path).await.map_err(|failure| failure.with_context(&titled(kind, &names)))?;
        let shown = match format {
            Format::Tabular => print(&shown(&answer)),
            Format::Yaml => print(&yaml_text(&answer)),
            Format::Json | Format::WrappedJson => print(&format!("{}\n", pretty(&answer))),
        };
        if format == Format::Tabular {
            remarks(&answer).into_iter().for_each(note);
        }
        match failure(&answer) {
            // A caller that only reads the exit code may close the standard output.
            Some(failure) if shown.as_ref().err().is_none_or(Failure::is_quiet) => Err(failure),
            _ => shown,
        }
    }
}

/// Whether there are two sides to compare.
fn is_replicator(kind: &Kind) -> bool {
    matches!(kind.type_name, "Replicator" | "EtcdReplicator")
}

/// Where a gateway compares a replicator.
pub(super) fn path(kind: &Kind, names: &[String], cluster: Option<&ClusterName>) -> String {
    let path = format!("{}/diff", kind.item_path("", names));
    match cluster {
        // Its characters need no escape.
        Some(cluster) => format!("{path}?cluster={cluster}"),
        None => path,
    }
}

/// The comparison at that path.
pub(super) async fn read(gateway: &Gateway, path: &str) -> Result<Value, Failure> {
    let answer = gateway.get(path).await.map_err(|failure| {
        let is_old = failure.is_not_found() && failure.line == "not found";
        let line = "it cannot compare: is it a fedgate, and of this version?";
        if is_old { Failure::new(1, format!("{}: {line}", gateway.base())) } else { failure }
    })?;
    answer.json()
}

/// How one place of a comparison compares.
pub(super) fn verdict(place: &Value) -> Verdict {
    match (differences(place), place["complete"] == true) {
        (0, true) => Verdict::Equal,
        (0, false) => Verdict::Unknown,
        _ => Verdict::Differs,
    }
}

/// How many objects of a place differ.
pub(super) fn differences(place: &Value) -> u64 {
    ACTIONS.iter().filter_map(|action| place["counts"][action].as_u64()).sum()
}

/// Why a place was not compared as a whole.
pub(super) fn error(place: &Value) -> String {
    match text(&place["error"]) {
        unsaid if unsaid.is_empty() && place["complete"] != true => HIDDEN_ERROR.to_owned(),
        error => error,
    }
}

fn failure(answer: &Value) -> Option<Failure> {
    let places = list(&answer["clusters"]);
    let of = |wanted: Verdict| places.iter().filter(move |place| verdict(place) == wanted);
    let differing: Vec<String> = of(Verdict::Differs)
        .map(|place| format!("{} ({})", text(&place["name"]), differences(place)))
        .collect();
    let missing: Vec<String> = places
        .iter()
        .filter(|place| place["complete"] != true)
        .map(|place| format!("{} ({})", text(&place["name"]), error(place)))
        .collect();
    let said = |what: &str, named: &[String]| format!("{what}: {}", named.join(", "));
    let line = match (differing.is_empty(), missing.is_empty()) {
        (true, true) if answer["complete"] == true => return None,
        (true, true) => return Some(Failure::new(INCOMPLETE, "the comparison is not complete")),
        (true, false) => {
            return Some(Failure::new(INCOMPLETE, terminal_safe(&said("not compared", &missing))));
        }
        (false, true) => said("differs", &differing),
        (false, false) => format!("{}; {}", said("differs", &differing), said("not compared", &missing)),
    };
    Some(Failure::new(1, terminal_safe(&line)))
}

fn shown(answer: &Value) -> String {
    let places = list(&answer["clusters"]);
    if answer["detailed"] == false {
        return counts(places);
    }
    let mut table = Table::new(
        ["CLUSTER", "KIND", "NAMESPACE", "NAME", "ACTION"]
            .map(Heading::whole)
            .into_iter()
            .chain([Heading::cut("WHY")]),
    );
    let mut is_empty = true;
    for place in places {
        for object in list(&place["differences"]) {
            is_empty = false;
            let cell = |key: &str| text(&object[key]);
            table.push([
                text(&place["name"]),
                cell("kind"),
                cell("namespace"),
                cell("name"),
                cell("action"),
                why(object),
            ]);
        }
    }
    if !is_empty {
        return table.render(&Look::stdout());
    }
    let equal = places.iter().filter(|place| verdict(place) == Verdict::Equal);
    equal.map(|place| terminal_safe(&equal_line(place)).into_owned() + "\n").collect()
}

fn equal_line(place: &Value) -> String {
    match text(&place["objects"]) {
        one if one == "1" => format!("{}: equal (1 object)", text(&place["name"])),
        many => format!("{}: equal ({many} objects)", text(&place["name"])),
    }
}

/// For those who may not see the objects.
fn counts(places: &[Value]) -> String {
    let mut table =
        Table::new(["CLUSTER", "CREATE", "UPDATE", "DELETE", "CONFLICT", "BLOCKED"].map(Heading::whole));
    for place in places {
        let count = |action: &&str| text(&place["counts"][*action]);
        table.push([text(&place["name"])].into_iter().chain(ACTIONS.iter().map(count)));
    }
    table.render(&Look::stdout())
}

/// Why an object differs, and in what.
fn why(object: &Value) -> String {
    let fields = list(&object["fields"]).iter().map(|field| {
        let path = text(&field["path"]);
        match (field.get("source"), field.get("copy")) {
            (Some(source), Some(copy)) => format!("{path} is {copy}, not {source}"),
            _ => path,
        }
    });
    let fields = fields.collect::<Vec<_>>().join("; ");
    let why = text(&object["why"]);
    if fields.is_empty() { why } else { format!("{why}: {fields}") }
}

/// What does not fit into the table.
fn remarks(answer: &Value) -> Vec<String> {
    let mut remarks = Vec::new();
    if list(&answer["clusters"]).is_empty() && answer["complete"] == true {
        remarks.push(NO_CLUSTER.to_owned());
    }
    if answer["dry_run"] == true {
        remarks.push("the replicator only reports (dry_run): this is what it would do otherwise".to_owned());
    }
    if answer["detailed"] == false {
        remarks.push(UNDETAILED.to_owned());
    }
    for place in list(&answer["clusters"]) {
        let name = text(&place["name"]);
        if place["truncated"] == true {
            let more = differences(place).saturating_sub(list(&place["differences"]).len() as u64);
            remarks.push(format!("{name}: {more} more are not shown"));
        }
        remarks.extend(list(&place["warnings"]).iter().map(|warning| format!("{name}: {}", text(warning))));
    }
    remarks
}

/// What may be done about an object, in the order of the columns.
const ACTIONS: [&str; 5] = ["create", "update", "delete", "conflict", "blocked"];

/// Nothing can differ then.
pub(super) const NO_CLUSTER: &str = "none of the clusters that it copies to is registered";

const UNDETAILED: &str = "which objects these are is shown to those who may update the replicator";

const HIDDEN_ERROR: &str = "the reason is shown to those who may update the replicator";

const CODES: &str = "Exit codes: 0 nothing differs, 1 something differs, 3 not everything was compared.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(name: &str, complete: bool, updates: u64) -> Value {
        let object = json!({
            "kind": "ClusterRole", "namespace": "", "name": "ops", "action": "update", "why": "it differs",
            "fields": [{"path": "rules[0].verbs", "source": ["get"], "copy": ["*"]}, {"path": "metadata.labels.x"}],
        });
        json!({
            "name": name, "complete": complete, "error": if complete { Value::Null } else { "away".into() },
            "objects": 12, "counts": {"create": 0, "update": updates, "delete": 0, "conflict": 0, "blocked": 0},
            "differences": if updates > 0 { vec![object] } else { vec![] },
        })
    }

    fn answer(places: &[Value]) -> Value {
        let complete = places.iter().all(|place| place["complete"] == true);
        json!({"type": "Replicator", "name": "rbac", "complete": complete, "detailed": true, "clusters": places})
    }

    #[test]
    fn each_difference_has_a_row_with_the_fields_and_exit_codes_tell_the_rest() {
        let differs = answer(&[place("alpha", true, 1), place("beta", true, 0)]);
        let expected = "\
CLUSTER  KIND         NAMESPACE  NAME  ACTION  WHY
alpha    ClusterRole             ops   update  it differs: rules[0].verbs is [\"*\"], not [\"get\"]; metadata.labels.x
";
        assert_eq!(shown(&differs), expected);
        let failed = failure(&differs).unwrap();
        assert_eq!((failed.code, &*failed.line), (1, "differs: alpha (1)"));

        let equal = answer(&[place("alpha", true, 0), place("beta", true, 0)]);
        assert_eq!(shown(&equal), "alpha: equal (12 objects)\nbeta: equal (12 objects)\n");
        assert!(failure(&equal).is_none());
    }

    #[test]
    fn what_was_not_compared_is_never_equal() {
        let away = failure(&answer(&[place("alpha", true, 0), place("beta", false, 0)])).unwrap();
        assert_eq!((away.code, &*away.line), (INCOMPLETE, "not compared: beta (away)"));
        let both = failure(&answer(&[place("alpha", true, 2), place("beta", false, 0)])).unwrap();
        assert_eq!((both.code, &*both.line), (1, "differs: alpha (2); not compared: beta (away)"));
        for malformed in [json!(null), json!({}), json!({"clusters": [1, {}]}), json!({"complete": false})] {
            assert!(failure(&malformed).is_some(), "{malformed}");
            let _ = (shown(&malformed), remarks(&malformed));
        }
    }

    #[test]
    fn without_the_right_to_the_objects_numbers_are_shown() {
        let mut answer = answer(&[place("alpha", true, 3), place("beta", false, 0)]);
        answer["detailed"] = false.into();
        answer["clusters"][1]["error"] = Value::Null;
        let expected = "\
CLUSTER  CREATE  UPDATE  DELETE  CONFLICT  BLOCKED
alpha    0       3       0       0         0
beta     0       0       0       0         0
";
        assert_eq!(shown(&answer), expected);
        assert_eq!(remarks(&answer), [UNDETAILED]);
        assert!(
            failure(&answer)
                .unwrap()
                .line
                .ends_with("not compared: beta (the reason is shown to those who may update the replicator)")
        );
    }

    #[test]
    fn what_is_cut_and_what_is_warned_of_is_said() {
        let mut answer = answer(&[place("alpha", true, 1001)]);
        answer["dry_run"] = true.into();
        answer["clusters"][0]["truncated"] = true.into();
        answer["clusters"][0]["warnings"] = json!(["Role x: is kept"]);
        let said = remarks(&answer);
        assert!(said[0].contains("dry_run"), "{said:?}");
        assert_eq!(said[1..], ["alpha: 1000 more are not shown", "alpha: Role x: is kept"]);
    }
}
