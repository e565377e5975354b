//! Imports go down only, and never in a circle. The table below is the law: a new edge needs a line in it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each top-level module, lowest first, and what its code may use of the others. Tests inside a module may use
/// anything.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("error", &[]),
    ("wire", &["types", "error"]),
    ("corev2", &["types", "error"]),
    ("net", &["types", "error"]),
    ("etcd", &["types", "error", "wire", "net"]),
    ("telemetry", &["types", "error", "wire"]),
    ("auth", &["types", "error", "wire", "net", "telemetry"]),
    ("routing", &["types", "error", "wire", "telemetry"]),
    ("rewrite", &["types", "error", "wire", "telemetry"]),
    ("upstream", &["types", "error", "wire", "net", "telemetry"]),
    ("listener", &["types", "error", "wire", "net", "telemetry"]),
    ("registry", &["types", "error", "wire", "net", "telemetry", "etcd"]),
    ("member", &["types", "error", "wire", "upstream"]),
    ("fanout", &["types", "error", "wire", "telemetry", "rewrite", "member"]),
    ("authz", &["types", "error", "wire", "net", "telemetry", "corev2", "etcd", "auth", "upstream"]),
    ("api", &["types", "error", "wire", "net", "telemetry", "registry", "authz"]),
    ("leadership", &["types", "error", "wire", "telemetry", "etcd"]),
    (
        "replication",
        &["types", "error", "wire", "net", "telemetry", "corev2", "etcd", "registry", "leadership"],
    ),
    (
        "policy",
        &[
            "types",
            "error",
            "wire",
            "net",
            "telemetry",
            "corev2",
            "etcd",
            "upstream",
            "registry",
            "leadership",
            "authz",
        ],
    ),
    ("webui", &["types", "error", "wire", "net", "telemetry", "upstream"]),
    ("graphql", &["types", "error", "wire", "telemetry", "rewrite", "member"]),
    ("sim", &["types"]),
    (
        "proxy",
        &[
            "types",
            "error",
            "wire",
            "telemetry",
            "auth",
            "routing",
            "rewrite",
            "upstream",
            "listener",
            "registry",
            "member",
            "fanout",
            "authz",
            "api",
            "webui",
            "graphql",
        ],
    ),
    (
        "config",
        &[
            "types",
            "net",
            "telemetry",
            "auth",
            "upstream",
            "listener",
            "registry",
            "fanout",
            "replication",
            "webui",
            "proxy",
        ],
    ),
    (
        "app",
        &[
            "types",
            "error",
            "wire",
            "net",
            "telemetry",
            "auth",
            "routing",
            "upstream",
            "listener",
            "fanout",
            "etcd",
            "registry",
            "authz",
            "leadership",
            "replication",
            "policy",
            "api",
            "webui",
            "graphql",
            "config",
            "proxy",
        ],
    ),
    (
        "cli",
        &[
            "types",
            "error",
            "wire",
            "net",
            "telemetry",
            "etcd",
            "registry",
            "config",
            "auth",
            "listener",
            "upstream",
            "webui",
            "app",
            "sim",
        ],
    ),
];

/// Longest file, in lines.
const MAX_LINES: usize = 600;

/// Where a module is used: file and line, and what is used.
#[derive(Debug, PartialEq)]
struct Import {
    line: usize,
    module: String,
}

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level module that a file belongs to; `None` for the crate's own two files.
fn module_of(file: &Path) -> Option<String> {
    let relative = file.strip_prefix(source_dir()).unwrap();
    let mut parts = relative.iter().map(|part| part.to_str().unwrap());
    let first = parts.next().unwrap();
    match first {
        "lib.rs" | "main.rs" => None,
        _ => Some(first.trim_end_matches(".rs").to_owned()),
    }
}

/// Test code may look anywhere: files called tests.rs, and whatever lies in a directory of that name.
fn is_test_file(file: &Path) -> bool {
    let relative = file.strip_prefix(source_dir()).unwrap();
    relative.iter().any(|part| matches!(part.to_str(), Some("tests.rs" | "tests")))
}

/// The text without comments, test declarations and the test module at the end; lines keep their numbers.
fn code_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut code = String::new();
    for (index, line) in lines.iter().enumerate() {
        let next = lines.get(index + 1).copied().unwrap_or_default();
        let opens_test_module = *line == "#[cfg(test)]" && next.starts_with("mod ");
        if opens_test_module && !next.ends_with(';') {
            break;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Every use of a top-level module of this crate.
fn imports(text: &str) -> Vec<Import> {
    let code = code_of(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` in a macro and a name that merely ends in "crate" are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = code[at + "crate::".len()..].trim_start();
        for module in first_names(rest) {
            found.push(Import { line, module });
        }
    }
    found
}

/// Whether a path climbs from a file of this depth (`src/a.rs` and `src/a/mod.rs` have 1) out of its module.
fn climbs_out(text: &str, depth: usize) -> bool {
    code_of(text).contains(&"super::".repeat(depth))
}

fn depth_of(file: &Path) -> usize {
    let relative = file.strip_prefix(source_dir()).unwrap();
    relative.iter().filter(|part| *part != "mod.rs").count()
}

/// The first names of a path or of a braced list of paths: `{a::{b, c}, d}` has `a` and `d`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = vec![name(list)];
    let mut depth = 0;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&list[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What is wrong with a file's imports.
fn violations(module: &str, text: &str) -> Vec<String> {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let Some(allowed) = layers.get(module) else {
        return vec![format!("module {module} is not in the table of layers")];
    };
    let forbidden = |import: &Import| import.module != module && !allowed.contains(&import.module.as_str());
    imports(text)
        .into_iter()
        .filter(forbidden)
        .map(|import| format!("line {}: {module} must not use {}", import.line, import.module))
        .collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    assert!(files.len() > 5, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !is_test_file(file)) {
        if let Some(module) = module_of(file) {
            let text = fs::read_to_string(file).unwrap();
            let mut found = violations(&module, &text);
            if climbs_out(&text, depth_of(file)) {
                found.push("write crate:: for a path out of the module".to_owned());
            }
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_top_level_module_is_in_the_table() {
    let text = fs::read_to_string(source_dir().join("lib.rs")).unwrap();
    let known: BTreeSet<_> = LAYERS.iter().map(|(name, _)| *name).collect();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("mod ").filter(|(before, _)| matches!(*before, "" | "pub "))
        else {
            continue;
        };
        let name = rest.trim_end_matches([';', '{', ' ']);
        assert!(known.contains(name), "module {name} is not in the table of layers");
    }
}

#[test]
fn the_table_itself_goes_down_only() {
    for (index, (name, allowed)) in LAYERS.iter().enumerate() {
        for below in *allowed {
            let at = LAYERS.iter().position(|(other, _)| other == below);
            assert!(at.is_some_and(|at| at < index), "{name} may use {below}, which is not below it");
        }
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        if dir.exists() {
            rust_files(&dir, &mut files);
        }
    }
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines, more than {MAX_LINES}", file.display());
    }
}

#[test]
fn a_forbidden_import_would_be_caught() {
    assert_eq!(violations("wire", "use crate::app::X;"), ["line 1: wire must not use app"]);
    assert_eq!(
        violations("wire", "\nuse crate::{\n    types::{A, B},\n    auth::C,\n};"),
        ["line 2: wire must not use auth"]
    );
    assert_eq!(violations("types", "fn f() { crate::error::g() }"), ["line 1: types must not use error"]);
    assert_eq!(violations("config", "use crate::{types::A, config::B};"), Vec::<String>::new());
    assert_eq!(violations("nowhere", ""), ["module nowhere is not in the table of layers"]);
    assert!(climbs_out("use super::super::app;", 2) && !climbs_out("use super::app;", 2));
    let after_declaration = "#[cfg(test)]\nmod tests;\nuse crate::app;";
    assert_eq!(violations("wire", after_declaration), ["line 3: wire must not use app"]);
    // Comments and tests do not count.
    assert!(violations("wire", "/// [`crate::app`]\n#[cfg(test)]\nmod tests { use crate::app; }").is_empty());
    assert!(violations("wire", "macro_rules! m { () => { $crate::app } }").is_empty());
}

/// Whoever logs an error adds its causes to its text, so a text must not hold them already.
#[test]
fn no_error_says_its_cause_twice() {
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for piece in text.split("#[error(").skip(1) {
            let Some((message, rest)) = piece.split_once(")]\n") else { continue };
            let variant = rest.split("\n}\n").next().unwrap();
            let has_cause = ["#[source]", "#[from]", " source: "].iter().any(|part| variant.contains(part));
            let says_it = ["{0", "{source", ".source", ".0"].iter().any(|part| message.contains(part));
            checked += usize::from(has_cause);
            if has_cause && says_it {
                wrong.push(format!("{}: {message}", file.display()));
            }
        }
    }
    assert!(checked > 10, "only {checked} errors with a cause were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where each module of the crate is: `["app", "build"]` in `src/app/build.rs`.
type Modules = BTreeMap<Vec<String>, PathBuf>;

fn module_path(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(source_dir()).unwrap().with_extension("");
    relative.iter().map(|part| part.to_str().unwrap().to_owned()).filter(|part| part != "mod").collect()
}

/// Declares and re-exports what lies beside it, and may define what all of that shares: the face of its directory, not
/// one of its rooms. Imports through it count as imports of what it re-exports.
fn is_face(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "mod.rs")
}

/// Every path that begins with one of these, with the lists of a `use` spelt out: `a::{b::C, d}` has `a::b::C` and `a::d`.
fn paths_after(code: &str, root: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let inside_a_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ':');
        if !code[..at].ends_with(inside_a_path) {
            spell_out(&code[at + root.len()..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one path or list; returns what follows it.
fn spell_out<'a>(text: &'a str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            list = spell_out(list, before, found).trim_start();
            let Some(more) = list.strip_prefix(',') else { return list.strip_prefix('}').unwrap_or(list) };
            list = more;
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    before.push(name.to_owned());
    let rest = if let Some(below) = rest.strip_prefix("::") {
        spell_out(below, before, found)
    } else {
        found.push(before.clone());
        rest
    };
    before.pop();
    // `as name` says nothing about where it comes from.
    rest.find([',', '}', ';']).filter(|_| rest.starts_with(" as ")).map_or(rest, |end| &rest[end..])
}

/// The file that an absolute path names something in; re-exports of a face are followed.
fn file_of(
    path: &[String],
    modules: &Modules,
    faces: &BTreeMap<PathBuf, Vec<Vec<String>>>,
) -> Option<PathBuf> {
    let (module, file) =
        (1..=path.len()).rev().find_map(|end| modules.get(&path[..end]).map(|file| (&path[..end], file)))?;
    let Some(name) = path.get(module.len()).filter(|_| is_face(file)) else { return Some(file.clone()) };
    let of_a_child = |export: &[String]| modules.contains_key(&[module, &export[..1]].concat());
    let re_export = faces[file].iter().find(|export| export.last() == Some(name) && of_a_child(export));
    re_export.map_or_else(|| Some(file.clone()), |export| file_of(&[module, export].concat(), modules, faces))
}

/// What each file but the faces imports of the other files.
fn imported_files() -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut files = Vec::new();
    rust_files(&source_dir(), &mut files);
    files.retain(|file| !is_test_file(file) && module_of(file).is_some());
    let code: BTreeMap<_, _> =
        files.iter().map(|file| (file.clone(), code_of(&fs::read_to_string(file).unwrap()))).collect();
    let modules: Modules = files.iter().map(|file| (module_path(file), file.clone())).collect();
    let uses = |code: &str| {
        let mut paths = paths_after(code, "use ");
        for path in &mut paths {
            path.retain(|name| name != "self");
        }
        paths.retain(|path| path.len() > 1);
        paths
    };
    let faces = code
        .iter()
        .filter(|(file, _)| is_face(file))
        .map(|(file, code)| (file.clone(), uses(code)))
        .collect();
    let mut imported = BTreeMap::new();
    for (file, code) in code.iter().filter(|(file, _)| !is_face(file)) {
        let module = module_path(file);
        let mut paths = paths_after(code, "crate::");
        for mut path in paths_after(code, "super::") {
            let up = 1 + path.iter().take_while(|name| *name == "super").count();
            path.drain(..up - 1);
            paths.push(module[..module.len() - up].iter().cloned().chain(path).collect());
        }
        let targets = paths.iter().filter_map(|path| file_of(path, &modules, &faces));
        imported.insert(file.clone(), targets.filter(|target| target != file).collect());
    }
    imported
}

/// What a file imports, what that imports, and so on.
fn leads_to<'a>(
    file: &'a PathBuf,
    imported: &'a BTreeMap<PathBuf, BTreeSet<PathBuf>>,
) -> BTreeSet<&'a PathBuf> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![file]);
    while let Some(file) = left.pop() {
        left.extend(imported.get(file).into_iter().flatten().filter(|next| seen.insert(*next)));
    }
    seen
}

/// Groups of files of which each leads to each other one.
fn circles(imported: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> BTreeSet<Vec<&PathBuf>> {
    let reach: BTreeMap<_, _> = imported.keys().map(|file| (file, leads_to(file, imported))).collect();
    let circle = |file: &PathBuf| {
        let together = |other: &&PathBuf| reach[file].contains(*other) && reach[*other].contains(file);
        imported.keys().filter(together).collect::<Vec<_>>()
    };
    imported.keys().filter(|file| reach[file].contains(*file)).map(circle).collect()
}

/// Whoever wants to understand one file of a circle has to read them all.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let imported = imported_files();
    assert!(imported.values().map(BTreeSet::len).sum::<usize>() > 300, "the imports were not found");
    let name = |file: &&PathBuf| file.strip_prefix(source_dir()).unwrap().to_str().unwrap().to_owned();
    let found: Vec<Vec<String>> =
        circles(&imported).into_iter().map(|circle| circle.iter().map(name).collect()).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_path_is_spelt_out_whatever_its_form() {
    let found = |code: &str| -> Vec<String> {
        paths_after(code, "crate::").iter().map(|path| path.join("::")).collect()
    };
    assert_eq!(
        found("use crate::{a::{self, b::C}, d as e, f};\nuse crate::g::*;"),
        ["a::self", "a::b::C", "d", "f", "g::"]
    );
    assert_eq!(found("fn x() -> crate::a::B<crate::c::D> { $crate::e::f!() }"), ["a::B", "c::D"]);
}
