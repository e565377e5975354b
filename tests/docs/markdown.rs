//! As much of Markdown as these pages use.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// A Markdown file.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// All of it.
    pub(crate) text: String,
    /// Its fenced blocks.
    pub(crate) blocks: Vec<Block>,
    /// What is outside of these, each line with its number.
    pub(crate) prose: Vec<(usize, String)>,
}

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence.
    pub(crate) line: usize,
    /// What the fence says.
    pub(crate) language: String,
    /// What is inside, less the indentation of the fence.
    pub(crate) text: String,
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the repository.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> =
        ["", "docs", ".github"].iter().flat_map(|directory| pages_in(&root().join(directory))).collect();
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    pages
}

/// The page of this path.
pub(crate) fn page(name: &str) -> Page {
    Page::read(&root().join(name))
}

fn pages_in(directory: &Path) -> Vec<Page> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "md")).map(|path| Page::read(&path)).collect()
}

// === impl Page ===

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let mut blocks = Vec::new();
        let mut prose = Vec::new();
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (&mut open, line.trim().strip_prefix("```")) {
                (None, Some(language)) => {
                    let block = Block { line: index + 1, language: language.to_owned(), text: String::new() };
                    open = Some((indent, block));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(_, block)| block)),
                (Some((indent, block)), _) => {
                    block.text.push_str(line.get(*indent..).unwrap_or_default());
                    block.text.push('\n');
                }
                (None, None) => prose.push((index + 1, line.to_owned())),
            }
        }
        assert!(open.is_none(), "{name}: a block is not closed");
        Self { directory: path.parent().unwrap().to_owned(), name, text, blocks, prose }
    }

    /// What headings can be linked to, as GitHub names them.
    pub(crate) fn anchors(&self) -> HashSet<String> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let headings = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        headings
            .map(|(_, line)| {
                let anchor = slug(line.trim_start_matches('#').trim());
                let count = seen.entry(anchor.clone()).or_default();
                *count += 1;
                if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
            })
            .collect()
    }

    /// What follows this heading, up to the next one of its level or above.
    pub(crate) fn section(&self, heading: &str) -> String {
        let level = heading.chars().take_while(|c| *c == '#').count();
        let is_end = |line: &str| {
            let depth = line.chars().take_while(|c| *c == '#').count();
            (1..=level).contains(&depth)
        };
        let lines = self.prose.iter().map(|(_, line)| line.as_str());
        let mut after = lines.skip_while(|line| *line != heading);
        assert!(after.next().is_some(), "{}: there is no {heading:?}", self.name);
        after.take_while(|line| !is_end(line)).collect::<Vec<_>>().join("\n")
    }
}

/// The cells of the rows of every table in a text, the lines below headings left out.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    let cells = |line: &str| {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    lines.map(cells).collect()
}

/// What stands between backticks.
pub(crate) fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}
