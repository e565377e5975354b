//! `list`, `info` and `dump`.

use std::path::PathBuf;

use clap::Args;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    answer::Answer,
    columns::Origin,
    describe,
    http::Gateway,
    kind::{KINDS, Kind, Scope, is_commercial_name},
    missing_clusters::MissingClusters,
    options::{Connection, Format, Output},
    print::{Printer, one},
    selector::Selector,
    sink::Sink,
    status::note_left_behind,
    watch::{Round, Watch},
};
use crate::{
    cli::{Failure, INCOMPLETE, REFUSED, USAGE, output::note},
    types::{ClusterName, LOCAL_CLUSTER},
    wire::header::{FEDGATE_COMPLETE, SENSU_CONTINUE},
};

/// `fedgate list`.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// What to list: check, entity, event, …, cluster, etcd-replicator, replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate info`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Info {
    /// What it is: check, entity, event, …, cluster, etcd-replicator, replicator
    #[arg(value_name = "TYPE")]
    kind: String,
    /// Its name; for an event, its entity and its check
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    connection: Connection,
}

/// `fedgate dump`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Dump {
    /// What to print for `create -f`: check, entity, …, cluster, etcd-replicator, replicator, or all
    #[arg(value_name = "TYPE", required_unless_present = "types", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Print the names of all types
    #[arg(long, short, conflicts_with = "kinds")]
    types: bool,
    /// Types to leave out, such as core/v2.Event
    #[arg(long, short, value_name = "TYPE", value_delimiter = ',')]
    omit: Vec<String>,
    /// Write to this file in place of the standard output; it is replaced when everything has been read
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which items of a list.
#[derive(Clone, Debug, Default, Args)]
struct Selection {
    /// Clusters to ask, or * for all of them [default: as the gateway decides]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    clusters: Vec<String>,
    /// Items of all namespaces
    #[arg(long)]
    all_namespaces: bool,
    /// Fetch this many items per request; 0 is all at once
    #[arg(long, value_name = "N")]
    chunk_size: Option<u32>,
    /// Only items with such fields, as in 'event.check.status != 0'
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Vec<String>,
    /// Only items with such labels, as in 'region == eu'
    #[arg(long, value_name = "SELECTOR")]
    label_selector: Vec<String>,
}

// === impl List ===

impl List {
    /// Prints a list, or as much of it as there is.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        self.selection.check(kind)?;
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let namespace = settings.namespace.clone();
        let gateway = Gateway::open(settings).await?;
        if self.watch.is_on() {
            let title = format!("fedgate list {}", kind.word);
            let round = async || {
                let mut printer = self.printer(&gateway, format, Sink::Text(String::new()));
                let done = self.print(&gateway, kind, &namespace, &mut printer).await;
                // What was read before it broke off would look like all there is.
                match done {
                    Err(failure) if failure.code != INCOMPLETE => Round { frame: None, done: Err(failure) },
                    done => Round { done, ..Round::of(printer.into_frame()) },
                }
            };
            return self.watch.run(&gateway, format, &title, round).await;
        }
        let mut printer = self.printer(&gateway, format, Sink::Standard);
        let listed = self.print(&gateway, kind, &namespace, &mut printer).await;
        let ended = match listed {
            Err(failure) if failure.code != INCOMPLETE => Err(failure),
            listed => match printer.end() {
                Err(failure) if !(failure.is_quiet() && listed.is_err()) => Err(failure),
                _ => listed,
            },
        };
        if ended.is_ok()
            && format == Format::Tabular
            && matches!(kind.type_name, "EtcdReplicator" | "Replicator")
        {
            note_left_behind(&gateway, kind.type_name).await;
        }
        ended
    }

    fn printer<'a>(&self, gateway: &'a Gateway, format: Format, sink: Sink) -> Printer<'a> {
        let cluster = gateway.base().cluster().unwrap_or(LOCAL_CLUSTER);
        Printer::new(format, Origin { cluster, namespaces: self.selection.all_namespaces }, sink)
    }

    /// Gives a list to the printer, but for its end.
    async fn print(
        &self,
        gateway: &Gateway,
        kind: &'static Kind,
        namespace: &str,
        printer: &mut Printer<'_>,
    ) -> Result<(), Failure> {
        let mut missing = MissingClusters::default();
        let mut started = false;
        let mut take = |items: Vec<Value>| {
            if !started {
                printer.start(kind)?;
                started = true;
            }
            items.into_iter().try_for_each(|item| printer.item(kind, item))
        };
        let listed = pages(gateway, kind, namespace, &self.selection, &mut missing, &mut take).await;
        ended(listed, &missing)
    }
}

// === impl Info ===

impl Info {
    /// Prints one resource.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let kind = kind_named(&self.kind)?;
        check_names(kind, &self.names)?;
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let path = kind.item_path(&settings.namespace, &self.names);
        let cluster = cluster_of_namespace(kind, &settings.namespace, &self.names);
        let gateway = Gateway::open(settings).await?;
        let cluster = cluster.or_else(|| gateway.base().cluster().map(str::to_owned));
        let origin = Origin { cluster: cluster.as_deref().unwrap_or(LOCAL_CLUSTER), namespaces: true };
        let round = async || {
            let answer = gateway.get(&path).await;
            let answer = answer.map_err(|failure| failure.with_context(&titled(kind, &self.names)));
            let item = answer.and_then(|answer| answer.json());
            Round::of(item.map(|item| one(format, &origin, kind, item)))
        };
        let title = format!("fedgate info {} {}", kind.word, self.names.join(" "));
        self.watch.run(&gateway, format, &title, round).await
    }
}

// === impl Dump ===

impl Dump {
    /// Prints what `create -f` takes.
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        if self.types {
            return describe::types(self.output.format);
        }
        let all = self.kinds.iter().any(|word| word == "all");
        let kinds = self.kinds()?;
        if !all {
            kinds.iter().try_for_each(|kind| self.selection.check_dump(kind))?;
        }
        let settings = self.connection.settings()?;
        let format = self.output.format.unwrap_or(settings.format);
        let namespace = settings.namespace.clone();
        let gateway = Gateway::open(settings).await?;
        let sink = Sink::open(self.file.as_deref())?;
        let mut printer = Printer::dump(format, Origin { cluster: LOCAL_CLUSTER, namespaces: true }, sink);
        let mut missing = MissingClusters::default();
        for kind in kinds {
            let mut take = |items: Vec<Value>| {
                items
                    .into_iter()
                    .filter(|item| !is_configured(kind, item))
                    .try_for_each(|item| printer.item(kind, item))
            };
            let selection =
                if all { self.selection.as_far_as_it_applies_to(kind) } else { self.selection.clone() };
            match pages(&gateway, kind, &namespace, &selection, &mut missing, &mut take).await {
                // A Sensu backend has no clusters, and few users may see everything.
                Err(failure) if all && (failure.is_not_found() || failure.code == REFUSED) => {
                    note(format!("left out: {} ({})", kind.collection, failure.line));
                }
                Ok(()) => {}
                done => return ended(done, &missing),
            }
        }
        if all {
            note("left out: users and apikeys, which cannot be created from what Sensu shows of them");
        }
        ended(printer.end(), &missing)
    }

    fn kinds(&self) -> Result<Vec<&'static Kind>, Failure> {
        let mut kinds: Vec<&'static Kind> = Vec::new();
        for word in &self.kinds {
            let named: Vec<&Kind> = match word.as_str() {
                "all" => KINDS.iter().filter(|kind| !matches!(kind.type_name, "User" | "APIKey")).collect(),
                // Recipes for backups name types of the commercial edition, too.
                word if is_commercial_name(word) => {
                    note(format!("left out: {word}, which only Sensu's commercial edition has"));
                    Vec::new()
                }
                word => vec![kind_named(word)?],
            };
            for kind in named {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        for word in &self.omit {
            match Kind::named(word) {
                Ok(omitted) => kinds.retain(|kind| kind != &omitted),
                Err(_) if word.contains('/') => {}
                Err(error) => return Err(Failure::new(USAGE, format!("--omit: {error}"))),
            }
        }
        Ok(kinds)
    }
}

// === impl Selection ===

impl Selection {
    fn check(&self, kind: &Kind) -> Result<(), Failure> {
        self.selector(kind)?;
        for name in self.clusters.iter().filter(|name| *name != "*") {
            name.parse::<ClusterName>()
                .map_err(|error| Failure::new(USAGE, format!("--clusters: {error}")))?;
        }
        if !self.clusters.is_empty() && (kind.is_federation() || kind.scope == Scope::Single) {
            let what = if kind.is_federation() { "belong to the gateway itself" } else { "are not listed" };
            return Err(Failure::new(
                USAGE,
                format!("--clusters does not apply: {} {what}", kind.collection),
            ));
        }
        Ok(())
    }

    fn selector(&self, kind: &Kind) -> Result<Selector, Failure> {
        let selector = Selector::parse(kind, &self.field_selector, &self.label_selector);
        selector.map_err(|what| Failure::new(USAGE, what))
    }

    /// Resources without a namespace do not say which cluster they are from, so a dump of several clusters would mix them
    /// up.
    fn check_dump(&self, kind: &Kind) -> Result<(), Failure> {
        self.check(kind)?;
        if self.is_ambiguous_for(kind) {
            let line = format!(
                "{} have no namespace to name their cluster: dump one cluster at a time with \
                 --url …/c/CLUSTER",
                kind.collection
            );
            return Err(Failure::new(USAGE, line));
        }
        Ok(())
    }

    fn is_ambiguous_for(&self, kind: &Kind) -> bool {
        let is_local = |name: &String| name == LOCAL_CLUSTER;
        !kind.is_namespaced() && kind.type_name != "Namespace" && !self.clusters.iter().all(is_local)
    }

    fn as_far_as_it_applies_to(&self, kind: &Kind) -> Self {
        let clusters = if self.is_ambiguous_for(kind) { Vec::new() } else { self.clusters.clone() };
        Self { clusters, ..self.clone() }
    }

    fn query(&self, token: Option<&str>) -> String {
        let mut parts = Vec::new();
        if !self.clusters.is_empty() {
            parts.push(format!("clusters={}", self.clusters.join(",")));
        }
        if let Some(size) = self.chunk_size.filter(|size| *size > 0) {
            parts.push(format!("limit={size}"));
        }
        // The commercial edition selects by itself, which saves sending the rest.
        let named = [("fieldSelector", &self.field_selector), ("labelSelector", &self.label_selector)];
        for (name, selectors) in named.into_iter().filter(|(_, selectors)| !selectors.is_empty()) {
            parts.push(format!("{name}={}", utf8_percent_encode(&selectors.join(" && "), NON_ALPHANUMERIC)));
        }
        if let Some(token) = token {
            parts.push(format!("continue={}", utf8_percent_encode(token, NON_ALPHANUMERIC)));
        }
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

/// Asks for a list page by page.
async fn pages(
    gateway: &Gateway,
    kind: &'static Kind,
    namespace: &str,
    selection: &Selection,
    missing: &mut MissingClusters,
    take: &mut dyn FnMut(Vec<Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let namespace = (!selection.all_namespaces).then_some(namespace);
    let is_qualified = kind.is_namespaced() && namespace.is_some_and(|namespace| namespace.contains('@'));
    if is_qualified && !selection.clusters.is_empty() {
        let line = "--clusters and the namespace both name a cluster: give one of them";
        return Err(Failure::new(USAGE, line));
    }
    let selector = selection.selector(kind)?;
    let path = kind.list_path(namespace);
    let mut token: Option<String> = None;
    gateway.progress().begin(format!("reading {}", kind.collection), None);
    loop {
        let answer = gateway.get(&format!("{path}{}", selection.query(token.as_deref()))).await;
        let answer = answer.map_err(|failure| {
            if kind.is_federation() && failure.is_not_found() {
                let line = format!("{} has no {}: is it a fedgate?", gateway.base(), kind.api_version);
                return Failure { line, ..failure };
            }
            if failure.is_not_found() && failure.line == "not found" {
                let line = format!("{} has no {}: is it the API's URL?", gateway.base(), kind.collection);
                return Failure { line, ..failure };
            }
            failure
        })?;
        if !selection.clusters.is_empty() && answer.header(&FEDGATE_COMPLETE).is_none() {
            let line = format!("{} does not know --clusters: is it a fedgate?", gateway.base());
            return Err(Failure::new(1, line));
        }
        missing.add(&answer);
        let mut items = items(&answer)?;
        gateway.progress().advance(items.len());
        items.retain(|item| selector.matches(item));
        take(items)?;
        let next = answer.header(&SENSU_CONTINUE).filter(|next| !next.is_empty()).map(str::to_owned);
        // Some of Sensu's lists return the token that they were sent, without end.
        if next.is_none() || next == token || selection.chunk_size.is_none_or(|size| size == 0) {
            return Ok(());
        }
        token = next;
    }
}

/// The items of a list. An empty body and `null` are an empty list, an object is a list of one.
fn items(answer: &Answer) -> Result<Vec<Value>, Failure> {
    if answer.body.is_empty() || answer.status == StatusCode::NO_CONTENT {
        return Ok(Vec::new());
    }
    Ok(match answer.json()? {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        item => vec![item],
    })
}

/// How a command ends after it has printed a list: a list that lacks clusters is incomplete, even if its reader has
/// closed the output.
fn ended(done: Result<(), Failure>, missing: &MissingClusters) -> Result<(), Failure> {
    if missing.is_any() && done.as_ref().err().is_none_or(Failure::is_quiet) {
        return Err(Failure::new(INCOMPLETE, format!("incomplete: no answer from {missing}")));
    }
    done
}

/// Clusters of the gateway's configuration file are listed, but cannot be created.
fn is_configured(kind: &Kind, item: &Value) -> bool {
    let is = kind.type_name == "Cluster" && item["metadata"]["labels"]["fedgate/source"] == "config";
    if is {
        let name = item["metadata"]["name"].as_str().unwrap_or_default();
        note(format!("left out: cluster {name:?}, which is in the gateway's configuration file"));
    }
    is
}

/// The cluster that a qualified namespace names.
fn cluster_of_namespace(kind: &Kind, namespace: &str, names: &[String]) -> Option<String> {
    let namespace = match kind.scope {
        Scope::Namespaced | Scope::Event => namespace,
        Scope::ClusterWide if kind.type_name == "Namespace" => names.first()?,
        Scope::ClusterWide | Scope::Single => return None,
    };
    namespace.split_once('@').map(|(_, cluster)| cluster.to_owned())
}

/// The kind that a TYPE argument names.
pub(super) fn kind_named(word: &str) -> Result<&'static Kind, Failure> {
    Kind::named(word).map_err(|error| Failure::new(USAGE, error))
}

/// Refuses too few or too many NAME arguments, and names that a path cannot hold.
pub(super) fn check_names(kind: &Kind, names: &[String]) -> Result<(), Failure> {
    if names.len() != kind.names() {
        let wanted = match kind.scope {
            Scope::Single => "no name",
            Scope::Event => "two names: entity and check",
            Scope::Namespaced | Scope::ClusterWide => "one name",
        };
        return Err(Failure::new(USAGE, format!("{} takes {wanted}", kind.word)));
    }
    match names.iter().find(|name| matches!(name.as_str(), "" | "." | "..")) {
        Some(name) => Err(Failure::new(USAGE, format!("{name:?} cannot be a name"))),
        None => Ok(()),
    }
}

/// `cluster "alpha"`
pub(super) fn titled(kind: &Kind, names: &[String]) -> String {
    if names.is_empty() { kind.word.to_owned() } else { format!("{} {:?}", kind.word, names.join("/")) }
}
