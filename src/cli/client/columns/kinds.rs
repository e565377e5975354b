use serde_json::Value;

use super::{Cell, Column};
use crate::cli::client::{
    kind::Kind,
    time,
    value::{at, joined, list, text},
};

/// The columns of a kind in their order.
pub(super) fn of_kind(kind: &Kind) -> &'static [Column] {
    match kind.type_name {
        "Cluster" => &CLUSTER,
        "EtcdReplicator" => &ETCD_REPLICATOR,
        "Replicator" => &REPLICATOR,
        "Namespace" => &NAMESPACE_KIND,
        "ClusterRole" => &CLUSTER_ROLE,
        "ClusterRoleBinding" => &CLUSTER_ROLE_BINDING,
        "User" => &USER,
        "APIKey" => &API_KEY,
        "TessenConfig" => &TESSEN,
        "Asset" => &ASSET,
        "CheckConfig" => &CHECK,
        "Entity" => &ENTITY,
        "Event" => &EVENT,
        "EventFilter" => &FILTER,
        "Handler" => &HANDLER,
        "HookConfig" => &HOOK,
        "Mutator" => &MUTATOR,
        "Pipeline" => &PIPELINE,
        "Role" => &ROLE,
        "RoleBinding" => &ROLE_BINDING,
        "Silenced" => &SILENCED,
        _ => &ONLY_NAME,
    }
}

const fn column(title: &'static str, cell: Cell) -> Column {
    Column { title, cell, only_info: false }
}

const fn plain(title: &'static str, path: &'static str) -> Column {
    column(title, Cell::Text(path))
}

const fn info(title: &'static str, cell: Cell) -> Column {
    Column { title, cell, only_info: true }
}

fn workflows(item: &Value) -> String {
    let workflows = list(&item["workflows"]).iter();
    workflows.filter_map(|item| item.get("name")).map(text).collect::<Vec<_>>().join(",")
}

fn subjects(item: &Value) -> String {
    let subject = |item: &Value| format!("{} {}", text(&item["type"]), text(&item["name"]));
    list(&item["subjects"]).iter().map(subject).collect::<Vec<_>>().join(", ")
}

fn rules(item: &Value) -> String {
    let rule = |item: &Value| {
        let of = Some(joined(&item["resource_names"])).filter(|names| !names.is_empty());
        let of = of.map(|names| format!(" named {names}")).unwrap_or_default();
        format!("{} on {}{of}", joined(&item["verbs"]), joined(&item["resources"]))
    };
    list(&item["rules"]).iter().map(rule).collect::<Vec<_>>().join("; ")
}

fn check_hooks(item: &Value) -> String {
    let entries = list(&item["check_hooks"]).iter().filter_map(Value::as_object).flatten();
    entries.map(|(kind, hooks)| format!("{kind}: [{}]", joined(hooks))).collect::<Vec<_>>().join(", ")
}

/// Host and file only: the rest is long and says little.
fn asset_url(item: &Value) -> String {
    let url = text(&item["url"]);
    let Some((_, rest)) = url.split_once("://") else { return url };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit_once('/').map_or("", |(_, file)| file);
    format!("//{host}/.../{file}")
}

fn asset_hash(item: &Value) -> String {
    let hash = text(&item["sha512"]);
    if hash.chars().count() < 128 { hash } else { hash.chars().take(7).collect() }
}

fn handler_target(item: &Value) -> String {
    let get = |path: &str| text(at(item, path));
    match get("/type").as_str() {
        kind @ ("tcp" | "udp") => format!("PUSH: {kind}://{}:{}", get("/socket/host"), get("/socket/port")),
        "pipe" => format!("RUN: {}", get("/command")),
        "set" => format!("CALL: {}", joined(&item["handlers"])),
        _ => "UNKNOWN".to_owned(),
    }
}

fn filter_expressions(item: &Value) -> String {
    let separator = match item.get("action").and_then(Value::as_str) {
        Some("allow") => " && ",
        Some("deny") => " || ",
        _ => ", ",
    };
    let expressions = list(&item["expressions"]).iter();
    expressions.map(|expression| format!("({})", text(expression))).collect::<Vec<_>>().join(separator)
}

fn event_history(item: &Value) -> String {
    list(at(item, "/check/history")).iter().map(|entry| text(&entry["status"])).collect::<Vec<_>>().join(",")
}

fn expiry(item: &Value) -> String {
    match item["expire_at"].as_i64().unwrap_or_default() {
        at if at <= 0 => "never".to_owned(),
        at => time::show(at),
    }
}

/// The role of a binding, if it is of that type.
fn role_ref(item: &Value, role_type: &str) -> String {
    let role = &item["role_ref"];
    if role["type"] == role_type { text(&role["name"]) } else { String::new() }
}

fn source(item: &Value) -> String {
    item["metadata"]["labels"]["fedgate/source"].as_str().unwrap_or("api").to_owned()
}

fn interval(item: &Value) -> String {
    item["spec"]
        .get("replication_interval_seconds")
        .map(|seconds| format!("{}s", text(seconds)))
        .unwrap_or_default()
}

const NAME: Column = plain("NAME", "/metadata/name");
pub(super) const NAMESPACE: Column = column("NAMESPACE", Cell::Special(namespace));

fn namespace(item: &Value) -> String {
    let found = item.pointer("/metadata/namespace").or_else(|| item.pointer("/entity/metadata/namespace"));
    found.map(text).unwrap_or_default()
}

const ONLY_NAME: [Column; 1] = [NAME];

const NAMESPACE_KIND: [Column; 1] = [plain("NAME", "/name")];

const TESSEN: [Column; 1] = [column("OPT-OUT", Cell::Flag("/opt_out"))];

const PIPELINE: [Column; 2] = [NAME, column("WORKFLOWS", Cell::Special(workflows))];

const CLUSTER_ROLE: [Column; 3] =
    [NAME, column("RULES", Cell::Count("/rules")), info("GRANTS", Cell::Special(rules))];

const ROLE: [Column; 4] =
    [NAME, NAMESPACE, column("RULES", Cell::Count("/rules")), info("GRANTS", Cell::Special(rules))];

const CLUSTER: [Column; 7] = [
    NAME,
    column("API URLS", Cell::Joined("/spec/api_urls")),
    column("SOURCE", Cell::Special(source)),
    plain("CREATED BY", "/metadata/created_by"),
    info("CA CERT", Cell::Text("/spec/ca_cert")),
    info("CERT", Cell::Text("/spec/cert")),
    info("INSECURE", Cell::Flag("/spec/insecure")),
];

const ETCD_REPLICATOR: [Column; 9] = [
    NAME,
    plain("URL", "/spec/url"),
    plain("RESOURCE", "/spec/resource"),
    plain("NAMESPACE", "/spec/namespace"),
    column("INTERVAL", Cell::Special(interval)),
    info("CA CERT", Cell::Text("/spec/ca_cert")),
    info("CERT", Cell::Text("/spec/cert")),
    info("INSECURE", Cell::Flag("/spec/insecure")),
    info("CREATED BY", Cell::Text("/metadata/created_by")),
];

const REPLICATOR: [Column; 9] = [
    NAME,
    column("RESOURCES", Cell::Joined("/spec/resources")),
    column("CLUSTERS", Cell::Joined("/spec/clusters")),
    plain("NAMESPACE", "/spec/namespace"),
    column("INTERVAL", Cell::Special(interval)),
    column("CONFLICTS", Cell::Or("/spec/conflicts", "report")),
    column("ON DELETE", Cell::Or("/spec/on_delete", "remove")),
    column("DRY RUN", Cell::Flag("/spec/dry_run")),
    info("CREATED BY", Cell::Text("/metadata/created_by")),
];

const CLUSTER_ROLE_BINDING: [Column; 4] = [
    NAME,
    plain("CLUSTER ROLE", "/role_ref/name"),
    column("SUBJECTS", Cell::Count("/subjects")),
    info("WHO", Cell::Special(subjects)),
];

const ROLE_BINDING: [Column; 6] = [
    NAME,
    NAMESPACE,
    column("CLUSTER ROLE", Cell::Special(|item| role_ref(item, "ClusterRole"))),
    column("ROLE", Cell::Special(|item| role_ref(item, "Role"))),
    column("SUBJECTS", Cell::Count("/subjects")),
    info("WHO", Cell::Special(subjects)),
];

const USER: [Column; 3] = [
    plain("USERNAME", "/username"),
    column("GROUPS", Cell::Joined("/groups")),
    column("ENABLED", Cell::NotFlag("/disabled")),
];

const API_KEY: [Column; 3] =
    [NAME, plain("USERNAME", "/username"), column("CREATED AT", Cell::Time("/created_at"))];

const ASSET: [Column; 4] = [
    NAME,
    column("URL", Cell::Special(asset_url)),
    column("HASH", Cell::Special(asset_hash)),
    info("FILTERS", Cell::Joined("/filters")),
];

const CHECK: [Column; 15] = [
    NAME,
    plain("COMMAND", "/command"),
    column("INTERVAL", Cell::Or("/interval", "0")),
    plain("CRON", "/cron"),
    column("TIMEOUT", Cell::Or("/timeout", "0")),
    column("TTL", Cell::Or("/ttl", "0")),
    column("SUBSCRIPTIONS", Cell::Joined("/subscriptions")),
    column("HANDLERS", Cell::Joined("/handlers")),
    column("ASSETS", Cell::Joined("/runtime_assets")),
    column("HOOKS", Cell::Special(check_hooks)),
    column("PUBLISH?", Cell::Flag("/publish")),
    column("STDIN?", Cell::Flag("/stdin")),
    info("PROXY ENTITY NAME", Cell::Text("/proxy_entity_name")),
    plain("METRIC FORMAT", "/output_metric_format"),
    column("METRIC HANDLERS", Cell::Joined("/output_metric_handlers")),
];

const ENTITY: [Column; 11] = [
    plain("ID", "/metadata/name"),
    plain("CLASS", "/entity_class"),
    plain("OS", "/system/os"),
    column("SUBSCRIPTIONS", Cell::Joined("/subscriptions")),
    column("LAST SEEN", Cell::Time("/last_seen")),
    info("HOSTNAME", Cell::Text("/system/hostname")),
    info("PLATFORM", Cell::Text("/system/platform")),
    info("PLATFORM FAMILY", Cell::Text("/system/platform_family")),
    info("PLATFORM VERSION", Cell::Text("/system/platform_version")),
    info("AUTO-DEREGISTRATION", Cell::Flag("/deregister")),
    info("DEREGISTRATION HANDLER", Cell::Text("/deregistration/handler")),
];

const EVENT: [Column; 9] = [
    plain("ENTITY", "/entity/metadata/name"),
    plain("CHECK", "/check/metadata/name"),
    plain("OUTPUT", "/check/output"),
    column("STATUS", Cell::Status("/check/status")),
    info("HISTORY", Cell::Special(event_history)),
    column("SILENCED", Cell::Flag("/check/is_silenced")),
    info("SILENCED BY", Cell::Joined("/check/silenced")),
    column("TIMESTAMP", Cell::Time("/timestamp")),
    plain("UUID", "/id"),
];

const FILTER: [Column; 4] = [
    NAME,
    plain("ACTION", "/action"),
    column("EXPRESSIONS", Cell::Special(filter_expressions)),
    info("ASSETS", Cell::Joined("/runtime_assets")),
];

const HANDLER: [Column; 8] = [
    NAME,
    plain("TYPE", "/type"),
    column("TIMEOUT", Cell::Or("/timeout", "0")),
    column("FILTERS", Cell::Joined("/filters")),
    plain("MUTATOR", "/mutator"),
    column("EXECUTE", Cell::Special(handler_target)),
    column("ENVIRONMENT VARIABLES", Cell::Joined("/env_vars")),
    column("ASSETS", Cell::Joined("/runtime_assets")),
];

const HOOK: [Column; 4] = [
    NAME,
    plain("COMMAND", "/command"),
    column("TIMEOUT", Cell::Or("/timeout", "0")),
    column("STDIN?", Cell::Flag("/stdin")),
];

const MUTATOR: [Column; 5] = [
    NAME,
    plain("COMMAND", "/command"),
    column("ENVIRONMENT VARIABLES", Cell::Joined("/env_vars")),
    column("TIMEOUT", Cell::Or("/timeout", "0")),
    column("ASSETS", Cell::Joined("/runtime_assets")),
];

const SILENCED: [Column; 9] = [
    NAME,
    plain("SUBSCRIPTION", "/subscription"),
    plain("CHECK", "/check"),
    column("BEGIN", Cell::Time("/begin")),
    column("EXPIRATION", Cell::Special(expiry)),
    column("EXPIRE ON RESOLVE", Cell::Flag("/expire_on_resolve")),
    plain("CREATOR", "/creator"),
    plain("REASON", "/reason"),
    NAMESPACE,
];
