//! Parses and validates resources. Pure: whether certificate files can be read is checked elsewhere.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Map, Value};

mod policy;

use crate::types::{
    Backend, Cluster, ClusterName, ClusterSpec, FEDERATION_V1, Kind, LOCAL_CLUSTER, Metadata, ReplicatorSpec,
    Resource, Source, Spec, TlsFiles,
};

/// A resource that passed all checks that need no I/O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// As stored and returned.
    pub resource: Resource,
    /// What its spec means.
    pub spec: Spec,
}

/// A resource that was refused: which field, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct FieldError {
    /// Path of the field, such as `spec.api_urls[1]`; `body` for the whole.
    pub field: String,
    /// What is wrong, and what is expected.
    pub what: String,
}

// === impl Checked ===

impl Checked {
    /// Parses a resource in Sensu's wrapped form. `name` is the one in the path, if there is one.
    ///
    /// Stricter than Sensu, which ignores unknown keys and stores what cannot work.
    pub fn parse(kind: Kind, name: Option<&str>, body: &[u8]) -> Result<Self, FieldError> {
        let value: Value = serde_json::from_slice(body).map_err(|e| refuse("body", not_json(&e)))?;
        let Value::Object(object) = value else { return Err(refuse("body", "must be a JSON object")) };
        let top = Fields { at: "", map: &object };
        top.only(&["type", "api_version", "metadata", "spec"])?;
        top.must_equal("type", kind.type_name())?;
        top.must_equal("api_version", FEDERATION_V1)?;
        let metadata = metadata(kind, name, &top.object("metadata", "metadata.")?)?;
        let fields = top.object("spec", "spec.")?;
        let mut sent = without_nulls(fields.map);
        let spec = match kind {
            Kind::Cluster => Spec::Cluster(cluster(&fields)?),
            Kind::EtcdReplicator => {
                let spec = replicator(&fields)?;
                for (key, default) in [
                    ("insecure", Value::from(false)),
                    ("api_version", spec.api_version.as_str().into()),
                    ("replication_interval_seconds", spec.interval.as_secs().into()),
                ] {
                    sent.entry(key).or_insert(default);
                }
                Spec::EtcdReplicator(spec)
            }
            Kind::Replicator => Spec::Replicator(policy::policy(&fields)?),
        };
        let resource = Resource { kind, api_version: FEDERATION_V1.to_owned(), metadata, spec: sent };
        Ok(Self { resource, spec })
    }

    /// Whether this may replace `old`: what a replicator copies cannot be changed.
    pub fn may_replace(&self, old: &Self) -> Result<(), FieldError> {
        let (Spec::EtcdReplicator(new), Spec::EtcdReplicator(old)) = (&self.spec, &old.spec) else {
            return Ok(());
        };
        let fields = [
            ("spec.resource", &new.resource, &old.resource),
            ("spec.api_version", &new.api_version, &old.api_version),
        ];
        for (field, new, old) in fields {
            if new != old {
                let what =
                    format!("cannot change from {old} to {new}: delete the replicator and create another");
                return Err(refuse(field, what));
            }
        }
        Ok(())
    }

    /// The cluster for the data plane; `None` for any other kind.
    pub fn cluster(&self) -> Option<Cluster> {
        let Spec::Cluster(spec) = &self.spec else { return None };
        let name = self.resource.metadata.name.parse().ok()?;
        // A backend listed twice would get twice its share.
        let mut seen = HashSet::new();
        let backends = spec.backends.iter().filter(|backend| seen.insert(*backend)).cloned().collect();
        Some(Cluster { name, backends, tls: spec.tls.clone(), source: Source::Api })
    }

    /// The wrapped JSON.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&self.resource)
    }
}

/// Writes a resource in Sensu's wrapped form.
pub(crate) fn to_json(resource: &Resource) -> Vec<u8> {
    serde_json::to_vec(resource).expect("maps with text keys and plain values always serialize")
}

/// A cluster of the configuration file in the form of a registered one, with a label that states its source.
pub fn of_config(cluster: &Cluster) -> Resource {
    let mut spec = Map::new();
    let urls: Vec<Value> = cluster.backends.iter().map(|backend| backend.to_string().into()).collect();
    spec.insert("api_urls".into(), urls.into());
    let tls = &cluster.tls;
    let files = [("ca_cert", &tls.trusted_ca_file), ("cert", &tls.cert_file), ("key", &tls.key_file)];
    for (key, file) in files {
        if let Some(file) = file {
            spec.insert(key.into(), file.to_string_lossy().into());
        }
    }
    if tls.insecure_skip_tls_verify {
        spec.insert("insecure".into(), true.into());
    }
    let labels = BTreeMap::from([(SOURCE_LABEL.to_owned(), "config".to_owned())]);
    let metadata = Metadata { name: cluster.name.to_string(), labels, ..Metadata::default() };
    Resource { kind: Kind::Cluster, api_version: FEDERATION_V1.to_owned(), metadata, spec }
}

/// One JSON object and where it is.
struct Fields<'a> {
    /// Prefix of the keys in messages: empty, `metadata.` or `spec.`.
    at: &'static str,
    map: &'a Map<String, Value>,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn wrong(&self, key: &str, what: impl Into<String>) -> FieldError {
        refuse(&format!("{}{}", self.at, shortened(key)), what)
    }

    fn wrong_in(&self, key: &str, name: &str, what: impl Into<String>) -> FieldError {
        refuse(&format!("{}{key}.{}", self.at, shortened(name)), what)
    }

    fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        match self.map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.wrong(key, format!("is not a known key: known are {}", known.join(", ")))),
        }
    }

    /// `null` counts as absent: Puppet sends it for unset values.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn object(&self, key: &str, at: &'static str) -> Result<Fields<'a>, FieldError> {
        match self.get(key) {
            None => Err(self.wrong(key, "is missing")),
            Some(Value::Object(map)) => Ok(Fields { at, map }),
            Some(_) => Err(self.wrong(key, "must be an object")),
        }
    }

    /// An empty string counts as absent: Sensu's own form does not distinguish the two.
    fn text(&self, key: &str) -> Result<Option<&'a str>, FieldError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok((!text.is_empty()).then_some(text)),
            Some(_) => Err(self.wrong(key, "must be a string")),
        }
    }

    fn required(&self, key: &str) -> Result<&'a str, FieldError> {
        self.text(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    fn must_equal(&self, key: &str, expected: &str) -> Result<(), FieldError> {
        let found = self.required(key)?;
        if found == expected { Ok(()) } else { Err(self.wrong(key, format!("must be {expected}"))) }
    }

    fn flag(&self, key: &str) -> Result<bool, FieldError> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(key, "must be true or false")),
        }
    }

    fn texts(&self, key: &str) -> Result<BTreeMap<String, String>, FieldError> {
        let map = match self.get(key) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.wrong(key, "must be an object of strings")),
        };
        let pair = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            _ => Err(self.wrong_in(key, name, "must be a string")),
        };
        map.iter().map(pair).collect()
    }

    fn tls(&self) -> Result<TlsFiles, FieldError> {
        let file = |key| Ok(self.text(key)?.map(PathBuf::from));
        let files = TlsFiles {
            trusted_ca_file: file("ca_cert")?,
            cert_file: file("cert")?,
            key_file: file("key")?,
            insecure_skip_tls_verify: self.flag("insecure")?,
        };
        match (&files.cert_file, &files.key_file) {
            (Some(_), None) => Err(self.wrong("key", "is missing: spec.cert needs it")),
            (None, Some(_)) => Err(self.wrong("cert", "is missing: spec.key needs it")),
            _ => Ok(files),
        }
    }
}

fn refuse(field: &str, what: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), what: what.into() }
}

fn not_json(error: &serde_json::Error) -> String {
    format!("is not JSON (line {}, column {})", error.line(), error.column())
}

/// A client's own text, cut for an error message. It is quoted where a reader would not see it or where it ends.
fn shortened(text: &str) -> String {
    let cut: String = text.chars().take(MAX_ECHO).collect();
    if cut.is_empty() || cut.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return format!("{cut:?}");
    }
    cut
}

fn without_nulls(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn metadata(kind: Kind, path: Option<&str>, fields: &Fields<'_>) -> Result<Metadata, FieldError> {
    fields.only(&["name", "namespace", "labels", "annotations", "created_by"])?;
    let name = fields.required("name")?;
    check_name(kind, name).map_err(|what| fields.wrong("name", what))?;
    if let Some(path) = path.filter(|path| *path != name) {
        let what = format!("{name} is not the name in the path, {}", shortened(path));
        return Err(fields.wrong("name", what));
    }
    if fields.text("namespace")?.is_some() {
        return Err(
            fields.wrong("namespace", format!("must be absent: the type {} has none", kind.type_name()))
        );
    }
    let labels = fields.texts("labels")?;
    if let Some(reserved) = labels.keys().find(|label| label.starts_with(RESERVED_LABELS)) {
        let what = format!("labels that begin with {RESERVED_LABELS} are set by the gateway");
        return Err(fields.wrong_in("labels", reserved, what));
    }
    Ok(Metadata {
        name: name.to_owned(),
        labels,
        annotations: fields.texts("annotations")?,
        created_by: fields.text("created_by")?.unwrap_or_default().to_owned(),
    })
}

fn check_name(kind: Kind, name: &str) -> Result<(), String> {
    match kind {
        Kind::Cluster if name != LOCAL_CLUSTER && name.eq_ignore_ascii_case(LOCAL_CLUSTER) => {
            Err(format!("must not differ from {LOCAL_CLUSTER} only by case"))
        }
        Kind::Cluster => name.parse::<ClusterName>().map(drop).map_err(|e| e.to_string()),
        Kind::EtcdReplicator | Kind::Replicator => {
            // Sensu's rule for most names, which allows colons.
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b':');
            if name.len() <= MAX_NAME && !matches!(name, "." | "..") && name.bytes().all(legal) {
                Ok(())
            } else {
                Err(format!("must be 1 to {MAX_NAME} of the characters A-Z a-z 0-9 _ . : -"))
            }
        }
    }
}

fn cluster(fields: &Fields<'_>) -> Result<ClusterSpec, FieldError> {
    fields.only(&["api_urls", "ca_cert", "cert", "key", "insecure"])?;
    let urls = match fields.get("api_urls") {
        None => return Err(fields.wrong("api_urls", "is missing")),
        Some(Value::Array(urls)) => urls,
        Some(_) => return Err(fields.wrong("api_urls", "must be a list of URLs")),
    };
    check_count(urls.len()).map_err(|what| fields.wrong("api_urls", what))?;
    let backend = |(index, url): (usize, &Value)| {
        let key = format!("api_urls[{index}]");
        let text = url.as_str().ok_or_else(|| fields.wrong(&key, "must be a string"))?;
        text.parse::<Backend>().map_err(|e| fields.wrong(&key, e.to_string()))
    };
    let backends = urls.iter().enumerate().map(backend).collect::<Result<_, _>>()?;
    Ok(ClusterSpec { backends, tls: fields.tls()? })
}

fn replicator(fields: &Fields<'_>) -> Result<ReplicatorSpec, FieldError> {
    fields.only(&[
        "url",
        "ca_cert",
        "cert",
        "key",
        "insecure",
        "api_version",
        "resource",
        "namespace",
        "replication_interval_seconds",
    ])?;
    let api_version = fields.text("api_version")?.unwrap_or(CORE_V2);
    if api_version != CORE_V2 {
        return Err(fields.wrong("api_version", format!("must be {CORE_V2}")));
    }
    let resource = fields.required("resource")?;
    if !REPLICABLE.contains(&resource) {
        let what =
            format!("{} cannot be replicated: use one of {}", shortened(resource), REPLICABLE.join(", "));
        return Err(fields.wrong("resource", what));
    }
    let namespace = fields.text("namespace")?;
    if let Some(namespace) = namespace {
        check_name(Kind::EtcdReplicator, namespace).map_err(|what| fields.wrong("namespace", what))?;
        if CLUSTER_WIDE.contains(&resource) {
            return Err(fields.wrong("namespace", format!("must be absent: a {resource} has none")));
        }
    }
    Ok(ReplicatorSpec {
        endpoints: endpoints(fields)?,
        tls: fields.tls()?,
        api_version: api_version.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.map(str::to_owned),
        interval: interval(fields)?,
    })
}

fn endpoints(fields: &Fields<'_>) -> Result<Vec<Backend>, FieldError> {
    let urls: Vec<&str> = fields.required("url")?.split(',').map(str::trim).collect();
    check_count(urls.len()).map_err(|what| fields.wrong("url", what))?;
    let endpoint = |(index, url): (usize, &&str)| {
        url.parse().map_err(|e| fields.wrong("url", format!("item {} of the list {e}", index + 1)))
    };
    urls.iter().enumerate().map(endpoint).collect()
}

fn interval(fields: &Fields<'_>) -> Result<Duration, FieldError> {
    const KEY: &str = "replication_interval_seconds";
    let Some(value) = fields.get(KEY) else { return Ok(DEFAULT_INTERVAL) };
    match value.as_u64() {
        Some(seconds @ 1..=MAX_INTERVAL) => Ok(Duration::from_secs(seconds)),
        _ => Err(fields.wrong(KEY, format!("must be a whole number from 1 to {MAX_INTERVAL}"))),
    }
}

fn check_count(count: usize) -> Result<(), String> {
    if (1..=MAX_URLS).contains(&count) { Ok(()) } else { Err(format!("must hold 1 to {MAX_URLS} URLs")) }
}

/// The label that states the source of a cluster that the API cannot change.
pub const SOURCE_LABEL: &str = "fedgate/source";

const RESERVED_LABELS: &str = "fedgate/";
const CORE_V2: &str = "core/v2";
const MAX_URLS: usize = 64;
const MAX_NAME: usize = 253;
/// Most characters of a client's text in an error message.
const MAX_ECHO: usize = 64;
/// Sensu's default.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// A year; anything more is a mistaken unit.
const MAX_INTERVAL: u64 = 31_536_000;

/// The core/v2 types that Sensu keeps as configuration in etcd.
const REPLICABLE: &[&str] = &[
    "APIKey",
    "Asset",
    "CheckConfig",
    "ClusterRole",
    "ClusterRoleBinding",
    "EventFilter",
    "Handler",
    "HookConfig",
    "Mutator",
    "Namespace",
    "Pipeline",
    "Role",
    "RoleBinding",
    "Silenced",
    "User",
];

/// Those of them that belong to no namespace.
const CLUSTER_WIDE: &[&str] = &["APIKey", "ClusterRole", "ClusterRoleBinding", "Namespace", "User"];
