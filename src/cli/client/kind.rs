use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::types::FEDERATION_V1;

/// One type of resource: its names, and its place in the API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// `type` in the wrapped form.
    pub(super) type_name: &'static str,
    /// `api_version` in the wrapped form.
    pub(super) api_version: &'static str,
    /// Path segment of the collection.
    pub(super) collection: &'static str,
    /// sensuctl's word for it.
    pub(super) word: &'static str,
    /// Other types in files that mean this one.
    other_types: &'static [&'static str],
    /// What its path is made of.
    pub(super) scope: Scope,
}

/// What the path of a resource is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Namespace and name.
    Namespaced,
    /// Namespace, entity and check.
    Event,
    /// Name.
    ClusterWide,
    /// There is one only.
    Single,
}

/// A TYPE, on the command line or in a file, that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KindError {
    /// No such word. Usual cause: a typing error.
    #[error("unknown type {0:?}{1}")]
    Word(String, String),
    /// No such type in a file. Usual cause: a type of the commercial Sensu, or a missing `api_version`.
    #[error("unknown type {type_name:?} of {api_version:?}{hint}")]
    Type {
        /// As written.
        type_name: String,
        /// As written, or Sensu's default.
        api_version: String,
        /// What was meant, perhaps.
        hint: String,
    },
}

/// Sensu's own resources.
pub(super) const CORE_V2: &str = "core/v2";

/// Everything that can be handled, in the order in which a dump can be created again.
pub(super) static KINDS: [Kind; 21] = [
    federation("Cluster", "clusters", "cluster"),
    core("Namespace", "namespaces", "namespace", Scope::ClusterWide),
    core("ClusterRole", "clusterroles", "cluster-role", Scope::ClusterWide),
    core("ClusterRoleBinding", "clusterrolebindings", "cluster-role-binding", Scope::ClusterWide),
    core("User", "users", "user", Scope::ClusterWide),
    core("APIKey", "apikeys", "api-key", Scope::ClusterWide),
    core("TessenConfig", "tessen", "tessen", Scope::Single),
    core("Asset", "assets", "asset", Scope::Namespaced),
    Kind { other_types: &["Check"], ..core("CheckConfig", "checks", "check", Scope::Namespaced) },
    core("Entity", "entities", "entity", Scope::Namespaced),
    core("Event", "events", "event", Scope::Event),
    core("EventFilter", "filters", "filter", Scope::Namespaced),
    core("Handler", "handlers", "handler", Scope::Namespaced),
    Kind { other_types: &["Hook"], ..core("HookConfig", "hooks", "hook", Scope::Namespaced) },
    core("Mutator", "mutators", "mutator", Scope::Namespaced),
    core("Pipeline", "pipelines", "pipeline", Scope::Namespaced),
    core("Role", "roles", "role", Scope::Namespaced),
    core("RoleBinding", "rolebindings", "role-binding", Scope::Namespaced),
    core("Silenced", "silenced", "silenced", Scope::Namespaced),
    federation("EtcdReplicator", "etcd-replicators", "etcd-replicator"),
    federation("Replicator", "replicators", "replicator"),
];

const fn core(type_name: &'static str, collection: &'static str, word: &'static str, scope: Scope) -> Kind {
    Kind { type_name, api_version: CORE_V2, collection, word, other_types: &[], scope }
}

const fn federation(type_name: &'static str, collection: &'static str, word: &'static str) -> Kind {
    let scope = Scope::ClusterWide;
    Kind { type_name, api_version: FEDERATION_V1, collection, word, other_types: &[], scope }
}

// === impl Kind ===

impl Kind {
    /// The kind of that name: as sensuctl spells it, in singular or plural, with or without hyphens, or in
    /// full such as `core/v2.CheckConfig`.
    pub(super) fn named(text: &str) -> Result<&'static Self, KindError> {
        let unknown = || {
            let guess = closest(text).map(|word| format!(": did you mean {word}?"));
            let all = || format!(": must be one of {}", KINDS.each_ref().map(|kind| kind.word).join(", "));
            KindError::Word(text.to_owned(), guess.unwrap_or_else(all))
        };
        if let Some((version, type_name)) = text.rsplit_once('.').filter(|(version, _)| version.contains('/'))
        {
            let found = KINDS
                .iter()
                .find(|kind| kind.api_version == version && kind.spellings().any(|s| s == plain(type_name)));
            return found.map_or_else(|| Self::of(version, type_name), Ok);
        }
        let text = plain(text);
        KINDS.iter().find(|kind| kind.spellings().any(|spelling| spelling == text)).ok_or_else(unknown)
    }

    /// The kind of a resource in a file: `CheckConfig`, or `check_config` as Sensu spells it elsewhere.
    pub(super) fn of(api_version: &str, type_name: &str) -> Result<&'static Self, KindError> {
        let same_type = |kind: &&Self| {
            let mut types = std::iter::once(&kind.type_name).chain(kind.other_types);
            types.any(|known| *known == type_name || snake_case(known) == type_name)
        };
        let group = major(api_version);
        KINDS.iter().find(|kind| kind.api_version == group && same_type(kind)).ok_or_else(|| {
            let elsewhere = KINDS.iter().find(same_type);
            let hint = elsewhere.map(|kind| format!(": did you mean api_version {}?", kind.api_version));
            let hint = hint.or(is_commercial(&group, type_name)
                .then(|| ": only Sensu's commercial edition has it".to_owned()));
            let (type_name, api_version) = (type_name.to_owned(), api_version.to_owned());
            KindError::Type { type_name, api_version, hint: hint.unwrap_or_default() }
        })
    }

    /// Whether it is a resource of the gateway, not of Sensu.
    pub(super) fn is_federation(&self) -> bool {
        self.api_version == FEDERATION_V1
    }

    /// Whether its resources belong to namespaces.
    pub(super) fn is_namespaced(&self) -> bool {
        matches!(self.scope, Scope::Namespaced | Scope::Event)
    }

    /// How many names identify one.
    pub(super) fn names(&self) -> usize {
        match self.scope {
            Scope::Single => 0,
            Scope::Namespaced | Scope::ClusterWide => 1,
            Scope::Event => 2,
        }
    }

    /// Path of the list; no namespace is all namespaces.
    pub(super) fn list_path(&self, namespace: Option<&str>) -> String {
        match namespace.filter(|_| self.is_namespaced()) {
            Some(namespace) => {
                format!("{}/namespaces/{}/{}", self.root(), escaped(namespace), self.collection)
            }
            None => format!("{}/{}", self.root(), self.collection),
        }
    }

    /// Path of one resource.
    pub(super) fn item_path(&self, namespace: &str, names: &[String]) -> String {
        let mut path = self.list_path(Some(namespace));
        for name in names {
            path.push('/');
            path.push_str(&escaped(name));
        }
        path
    }

    fn root(&self) -> &'static str {
        if self.is_federation() { "/api/enterprise/federation/v1" } else { "/api/core/v2" }
    }

    /// Every word for it, as [`plain`] leaves it.
    fn spellings(&self) -> impl Iterator<Item = String> {
        let word = plain(self.word);
        let plural = format!("{word}s");
        let types = std::iter::once(&self.type_name).chain(self.other_types);
        let types = types.flat_map(|name| [plain(name), format!("{}s", plain(name))]);
        [word, plural, plain(self.collection)].into_iter().chain(types)
    }
}

/// Whether a full name such as `secrets/v1.Secret` is that of a type of Sensu's commercial edition.
pub(super) fn is_commercial_name(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(version, type_name)| is_commercial(&major(version), type_name))
}

fn is_commercial(group: &str, type_name: &str) -> bool {
    COMMERCIAL.contains(&group.split('/').next().unwrap_or_default())
        || (group == FEDERATION_V1 && type_name == "Gateway")
        || group == "core/v3"
}

/// Lower case without hyphens and underscores: `cluster-role`, `cluster_role` and `ClusterRole` are one word.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// `ClusterRole` as `cluster_role`, and `APIKey` as `api_key`.
fn snake_case(type_name: &str) -> String {
    let chars: Vec<char> = type_name.chars().collect();
    let mut snake = String::new();
    for (at, c) in chars.iter().enumerate() {
        let begins_word = chars.get(at + 1).is_some_and(char::is_ascii_lowercase)
            || at.checked_sub(1).and_then(|before| chars.get(before)).is_some_and(char::is_ascii_lowercase);
        if at > 0 && c.is_ascii_uppercase() && begins_word {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// `core/v2` of `core/v2`, `core/2` and `core/v2.6.0`: as Sensu's own client, which takes every minor version.
fn major(api_version: &str) -> String {
    let Some((group, version)) = api_version.rsplit_once('/') else { return api_version.to_owned() };
    let major = version.strip_prefix('v').unwrap_or(version).split('.').next().unwrap_or_default();
    if major.parse::<u32>().is_ok() { format!("{group}/v{major}") } else { api_version.to_owned() }
}

fn closest(text: &str) -> Option<&'static str> {
    let text = plain(text);
    let near =
        |kind: &Kind| kind.spellings().map(|s| strsim::levenshtein(&s, &text)).min().unwrap_or(usize::MAX);
    let best = KINDS.iter().min_by_key(|kind| near(kind))?;
    // Two edits of a short word make any other word.
    (near(best) <= 2 && near(best) * 2 < text.len()).then_some(best.word)
}

/// A path segment as Sensu's own client escapes it.
fn escaped(segment: &str) -> String {
    utf8_percent_encode(segment, &SEGMENT).to_string()
}

/// Groups of which Sensu's free edition has nothing.
const COMMERCIAL: [&str; 9] =
    ["authentication", "bsm", "catalog", "licensing", "pipeline", "searches", "secrets", "store", "web"];

/// All but the characters that a path segment may hold, less `;` and `,` (Go's `url.PathEscape`).
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_in_every_spelling_that_sensuctl_knows() {
        for (text, type_name) in [
            ("check", "CheckConfig"),
            ("checks", "CheckConfig"),
            ("check_config", "CheckConfig"),
            ("core/v2.CheckConfig", "CheckConfig"),
            ("core/v2.Check", "CheckConfig"),
            ("entity", "Entity"),
            ("entities", "Entity"),
            ("filter", "EventFilter"),
            ("event_filter", "EventFilter"),
            ("cluster-role-binding", "ClusterRoleBinding"),
            ("clusterrolebindings", "ClusterRoleBinding"),
            ("ClusterRoleBinding", "ClusterRoleBinding"),
            ("api-key", "APIKey"),
            ("apikeys", "APIKey"),
            ("silenced", "Silenced"),
            ("tessen", "TessenConfig"),
            ("hook", "HookConfig"),
            ("cluster", "Cluster"),
            ("clusters", "Cluster"),
            ("federation/v1.Cluster", "Cluster"),
            ("etcd-replicator", "EtcdReplicator"),
            ("EtcdReplicators", "EtcdReplicator"),
            ("replicator", "Replicator"),
            ("replicators", "Replicator"),
            ("federation/v1.Replicator", "Replicator"),
            ("federation/v1.EtcdReplicator", "EtcdReplicator"),
        ] {
            assert_eq!(Kind::named(text).unwrap().type_name, type_name, "{text}");
        }
        for text in ["", "core/v2.Cluster", "federation/v1.Check", "core/v3.EntityConfig", "chekcs2"] {
            assert!(Kind::named(text).is_err(), "{text}");
        }
    }

    #[test]
    fn types_in_files_are_found_as_sensuctl_finds_them() {
        for kind in &KINDS {
            for version in [kind.api_version.to_owned(), format!("{}.1.2", kind.api_version)] {
                let snake = snake_case(kind.type_name);
                assert!(
                    !snake.contains(char::is_uppercase)
                        && snake.replace('_', "").len() == kind.type_name.len()
                );
                for name in [kind.type_name, &snake] {
                    assert_eq!(Kind::of(&version, name).unwrap(), kind, "{version} {name}");
                }
            }
        }
        for (name, type_name) in [
            ("check_config", "CheckConfig"),
            ("check", "CheckConfig"),
            ("hook", "HookConfig"),
            ("event_filter", "EventFilter"),
            ("api_key", "APIKey"),
            ("cluster_role_binding", "ClusterRoleBinding"),
            ("tessen_config", "TessenConfig"),
        ] {
            assert_eq!(Kind::of("core/2", name).unwrap().type_name, type_name);
        }
        for (version, name) in
            [("core/v2", "checkconfig"), ("core/v2", "checks"), ("core/v20", "Check"), ("v2", "Check")]
        {
            assert!(Kind::of(version, name).is_err(), "{version} {name}");
        }
        for (version, name) in
            [("secrets/v1", "Secret"), ("core/v3", "EntityConfig"), ("authentication/v2", "ldap")]
        {
            let error = Kind::of(version, name).unwrap_err().to_string();
            assert!(error.ends_with(": only Sensu's commercial edition has it"), "{error}");
        }
    }

    #[test]
    fn no_word_means_two_kinds() {
        for kind in &KINDS {
            for spelling in kind.spellings() {
                assert_eq!(Kind::named(&spelling).unwrap().type_name, kind.type_name, "{spelling}");
            }
        }
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        assert!(Kind::named("chcek").unwrap_err().to_string().ends_with("did you mean check?"));
        for odd in ["nonsense", "nope"] {
            assert!(Kind::named(odd).unwrap_err().to_string().contains("must be one of cluster, namespace"));
        }
        let error = Kind::of(CORE_V2, "Cluster").unwrap_err().to_string();
        assert!(error.ends_with("did you mean api_version federation/v1?"), "{error}");
    }

    #[test]
    fn paths_are_those_of_sensus_own_client() {
        let path = |word: &str, namespace: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Kind::named(word).unwrap().item_path(namespace, &names)
        };
        assert_eq!(
            path("check", "default@alpha", &["a b"]),
            "/api/core/v2/namespaces/default@alpha/checks/a%20b"
        );
        assert_eq!(path("event", "d", &["e", "c"]), "/api/core/v2/namespaces/d/events/e/c");
        assert_eq!(path("asset", "d", &["x/y:1.0~2"]), "/api/core/v2/namespaces/d/assets/x%2Fy:1.0~2");
        assert_eq!(path("cluster-role", "d", &["view"]), "/api/core/v2/clusterroles/view");
        assert_eq!(path("tessen", "d", &[]), "/api/core/v2/tessen");
        assert_eq!(path("cluster", "d", &["a"]), "/api/enterprise/federation/v1/clusters/a");
        assert_eq!(Kind::named("silenced").unwrap().list_path(None), "/api/core/v2/silenced");
    }
}
