//! What sensuctl does and fedgate does not, and what does it instead.

/// Why a word that would be a type is none of fedgate's.
pub(super) fn refused_subject(word: &str) -> Option<String> {
    if COMMERCIAL.contains(&word) {
        return Some(format!(
            "there is no {word} here: it is of Sensu's commercial edition, whose sensuctl works with a backend's URL"
        ));
    }
    SUBJECTS.iter().find(|(name, _)| *name == word).map(|(_, why)| (*why).to_owned())
}

/// Why a command of a type is not done.
pub(super) fn refused_command(subject: &str, verb: &str) -> Option<String> {
    let found = COMMANDS.iter().find(|(of, name, _)| *of == subject && *name == verb)?;
    Some(format!("there is no {subject} {verb} here: {}", found.2))
}

/// Why an option is not taken.
pub(super) fn refused_option(option: &str) -> Option<String> {
    let name = option.split('=').next().unwrap_or_default();
    OPTIONS.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| format!("{name}: {why}"))
}

/// A type that can be created from a file only.
pub(super) fn no_options(subject: &str) -> String {
    let example = match subject {
        "cluster" => "federation/v1, metadata: {name: alpha}, spec: {api_urls: [https://…:8080]}",
        "pipeline" => {
            "core/v2, metadata: {name: p}, spec: {workflows: [{name: w, handler: {type: Handler, name: h}}]}"
        }
        "event" => "core/v2, spec: {entity: {metadata: {name: e}}, check: {metadata: {name: c}, status: 0}}",
        "api-key" => return "an API key is made by fedgate api-key grant USER".to_owned(),
        "tessen" => return "there is one tessen: fedgate tessen opt-in or opt-out changes it".to_owned(),
        _ => {
            return format!(
                "{subject} has no options: write it into a file and give that to fedgate create -f FILE"
            );
        }
    };
    let kind = crate::cli::client::type_for(subject).unwrap_or_default();
    format!(
        "{subject} has no options: give fedgate create -f FILE one with type: {kind}, api_version: {example}"
    )
}

const SUBJECTS: [(&str, &str); 2] = [
    (
        "command",
        "there are no plugins here: run sensuctl command, which works with the gateway's URL as well",
    ),
    ("import", "there is no import here: give the files to fedgate create -f FILE"),
];

/// Commands of the commercial sensuctl.
const COMMERCIAL: [&str; 8] =
    ["auth", "catalog", "license", "provider", "prune", "search", "secret", "web-config"];

const COMMANDS: [(&str, &str, &str); 4] = [
    ("asset", "outdated", "run sensuctl asset outdated, which works with the gateway's URL as well"),
    ("cluster", "member-add", MEMBERS),
    ("cluster", "member-remove", MEMBERS),
    ("cluster", "member-update", MEMBERS),
];

const MEMBERS: &str = "run sensuctl with a backend's URL to change the members of that backend's etcd";

const OPTIONS: [(&[&str], &str); 4] = [
    (
        &["--interactive"],
        "fedgate asks no questions: give the values as options, or a file to fedgate create -f FILE",
    ),
    (&["--blank", "-b"], "fedgate edits what there is: give new resources to fedgate create -f FILE"),
    (&["--format"], "what this prints has one form only"),
    (&["--log-level"], "only fedgate serve has a log"),
];
