//! The style of this repository, as a test: what the design promises about the tree is read off the tree.
//!
//! Each rule looks at one file and says which lines break it. The reading is that of a careful eye, not of a compiler:
//! comments and literals are blanked first, then words and braces decide.

mod examples;

use std::fs;
use std::path::Path;

/// The layers of the design, lowest first. A module may use its own layer and those below.
const LAYERS: [&[&str]; 8] = [
    &["event", "finding", "policy", "identities", "csv", "clock"],
    &["source", "decode", "lake"],
    &["query"],
    &["ingest", "detect", "generate"],
    &["alert", "export", "timeline"],
    &["config"],
    &["serve"],
    &["main", "cli", "telemetry"],
];
/// The layers whose modules must not know each other: the layers above join them.
const STRANGERS: [usize; 2] = [3, 4];

/// Vendor crates, and the modules (with those below them) that may name them.
const HOMES: [(&str, &[&str]); 18] = [
    ("rdkafka", &["source/kafka", "alert"]),
    ("deltalake", &["lake"]),
    ("datafusion", &["lake", "query", "detect"]),
    ("sonic_rs", &["decode"]),
    ("clap", &["main", "cli"]),
    ("anyhow", &["main", "cli"]),
    ("indicatif", &["cli"]),
    ("comfy_table", &["cli"]),
    ("rustyline", &["cli"]),
    ("rlimit", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("axum", &["serve"]),
    ("prometheus_client", &["serve"]),
    ("reqwest", &["alert"]),
    ("lettre", &["alert"]),
    ("zip", &["export"]),
    ("rust_xlsxwriter", &["export"]),
];

/// Names that say nothing about what is inside.
const DRAWERS: [&str; 5] = ["utils", "common", "helpers", "types", "models"];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Asking one of these for `now` is asking for the time of day. `Instant` only measures how long something took.
const CLOCKS: [&str; 6] = ["SystemTime", "Timestamp", "Zoned", "Utc", "Local", "OffsetDateTime"];
/// Put together here, so that this file does not break its own rule.
const LEFT_OPEN: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Where people keep their files: nothing that others read or run may point there.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

type Rule = fn(&File) -> Breaches;
/// Offsets into the file, and what is wrong there.
type Breaches = Vec<(usize, String)>;

const RULES: [Rule; 13] = [
    imports_go_down,
    vendor_crates_have_one_home,
    no_mod_rs,
    no_drawers,
    files_are_short,
    functions_are_short,
    a_panic_has_its_reason,
    nothing_is_left_open,
    no_test_is_ignored,
    only_the_clock_tells_the_time,
    detectors_have_a_header,
    no_trailing_whitespace,
    no_machine_paths,
];

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    // Not sample-data and the cases of detectors: broken records are broken on purpose.
    for folder in [
        "src",
        "tests/it",
        "tests/kafka",
        "tests/keycloak",
        "tests/python",
        "benches",
        "queries",
        "docs",
        "scripts",
        ".ci",
    ] {
        read_folder(root, &root.join(folder), &mut files);
    }
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "Cargo.toml"] {
        files.extend(read_file(root, &root.join(name)));
    }
    assert!(files.iter().any(|file| file.module() == Some("main")), "the tree is not where it should be");

    let mut found: Vec<_> = files.iter().flat_map(|file| RULES.iter().flat_map(|rule| file.breaches(*rule))).collect();
    found.sort();
    assert!(found.is_empty(), "{} breaches of style:\n{}", found.len(), found.join("\n"));
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read_folder(root, &path, files);
        } else {
            files.extend(read_file(root, &path));
        }
    }
}

fn read_file(root: &Path, path: &Path) -> Option<File> {
    let text = fs::read_to_string(path).ok()?;
    Some(File::new(path.strip_prefix(root).ok()?.to_str()?, &text))
}

/// One file, seen from the root of the repository.
struct File {
    path: String,
    text: String,
    /// Rust with its comments and literals blanked, as long as the text; empty for other files.
    code: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { blanked(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    fn breaches(&self, rule: Rule) -> Vec<String> {
        let line = |at| 1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        rule(self).into_iter().map(|(at, what)| format!("{}:{}: {what}", self.path, line(at))).collect()
    }

    /// The path below src without its ending, like `source/kafka`; none elsewhere.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.strip_suffix(".rs")
    }

    /// Where the identifier or keyword stands in the code, as a whole word.
    fn word<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let code = self.code.as_bytes();
        let starts = self.code.match_indices(word).map(|(at, _)| at);
        starts.filter(move |at| {
            !code[..*at].last().is_some_and(is_name) && !code.get(at + word.len()).is_some_and(is_name)
        })
    }

    /// Lines with the offsets of their starts.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut at = 0;
        self.text.split('\n').map(move |line| {
            let start = at;
            at += line.len() + 1;
            (start, line)
        })
    }

    /// Whether this place is under `#[cfg(test)]`, or in a module of tests with a file of its own.
    fn is_test(&self, at: usize) -> bool {
        let mut items = self.code.match_indices("#[cfg(test)]");
        self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
            || items.any(|(start, mark)| (start..item_end(&self.code, start + mark.len())).contains(&at))
    }
}

/// Blanks comments, strings and characters, and keeps the lines where they are.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(bytes.len());
    while let Some(byte) = bytes.get(code.len()) {
        let at = code.len();
        match opaque_end(bytes, at) {
            Some(end) => code.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' })),
            None => code.push(if byte.is_ascii() { char::from(*byte) } else { ' ' }),
        }
    }
    code
}

fn is_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

/// Where the comment or literal that starts here ends, if one does.
fn opaque_end(text: &[u8], at: usize) -> Option<usize> {
    let rest = &text[at..];
    let find = |from: usize, wanted: &[u8]| {
        let found = rest.get(from..)?.windows(wanted.len()).position(|window| window == wanted)?;
        Some(from + found + wanted.len())
    };
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n'),
        [b'/', b'*', ..] => comment_length(rest),
        [b'"', ..] => {
            let mut escaped = false;
            let end = rest[1..].iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            end.map(|end| end + 2)
        }
        // Behind a letter, prefixes aside, the r ends a name.
        [b'r', b'"' | b'#', ..] => {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"')
                || text[..at].last().is_some_and(|before| is_name(before) && !b"bc".contains(before))
            {
                return None;
            }
            let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            find(2 + hashes, &end)
        }
        [b'\'', b'\\', ..] => find(3, b"'"),
        [b'\'', first, ..] => {
            // A character is closed by a quote; a lifetime is not.
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                0xf0.. => 4,
            };
            return (rest.get(1 + width) == Some(&b'\'')).then_some(at + width + 2);
        }
        _ => return None,
    };
    Some(at + length.unwrap_or(rest.len()))
}

/// Comments in Rust nest.
fn comment_length(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Where the item that starts here ends: behind its semicolon or its closing brace.
fn item_end(code: &str, start: usize) -> usize {
    let (mut braces, mut brackets) = (0_i32, 0_i32);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' => braces -= 1,
            _ => {}
        }
        if braces <= 0 && (byte == b'}' || (byte == b';' && brackets <= 0)) {
            return at + 1;
        }
    }
    code.len()
}

/// The modules at the root of this crate that a file names, with the places.
fn modules_named(file: &File, module: &str) -> Vec<(usize, String)> {
    let code = &file.code;
    let after_path = |at: usize, word: &str| code[at + word.len()..].trim_start().strip_prefix("::");
    let mut named = Vec::new();
    // The binary sees the library by its name.
    for word in ["crate", "tokentrail"] {
        for at in file.word(word) {
            named.extend(after_path(at, word).into_iter().flat_map(roots).map(|name| (at, name)));
        }
    }
    // Enough supers reach the root too. Inside braces they may count for inline modules, so only the outermost are read.
    let climb = "super::".repeat(module.split('/').count());
    for (at, _) in code.match_indices(&climb) {
        let depth = code[..at].bytes().fold(0, |depth, byte| depth + i32::from(byte == b'{') - i32::from(byte == b'}'));
        if depth == 0 && !code[..at].ends_with("::") {
            named.extend(roots(&code[at + climb.len()..]).into_iter().map(|name| (at, name)));
        }
    }
    named
}

/// The first names of a path or of a group of paths: `a::b` gives a, `{a::b, c}` gives a and c.
fn roots(path: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        let path = path.trim_start();
        let end = path.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(path.len());
        // A macro of the crate is found at its root wherever it is written.
        if path[end..].starts_with('!') { String::new() } else { path[..end].to_owned() }
    };
    let Some(group) = path.trim_start().strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names) = (1, vec![name(group)]);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 1 => names.push(name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn imports_go_down(file: &File) -> Breaches {
    let Some(module) = file.module().filter(|module| *module != "lib") else { return Breaches::new() };
    let own = module.split('/').next().unwrap_or(module);
    let Some(own_layer) = layer(own) else { return vec![(0, format!("{own} is in no layer of the design"))] };
    let judge = |name: &str| match layer(name) {
        _ if name.is_empty() || name == "self" || name == own => None,
        None => Some(format!("{name} is in no layer of the design")),
        Some(theirs) if theirs > own_layer => Some(format!("{own} must not know {name}, a layer above it")),
        Some(theirs) if theirs == own_layer && STRANGERS.contains(&theirs) => {
            Some(format!("{own} must not know its sibling {name}"))
        }
        Some(_) => None,
    };
    modules_named(file, module).into_iter().filter_map(|(at, name)| Some((at, judge(&name)?))).collect()
}

fn vendor_crates_have_one_home(file: &File) -> Breaches {
    let Some(module) = file.module() else { return Breaches::new() };
    let is_in = |home: &str| module.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let strangers = HOMES.iter().filter(|(_, homes)| !homes.iter().any(|home| is_in(home)));
    // A path follows the name of a crate: `zip::` is one, the `zip` of an iterator is not.
    let named = |name: &'static str| file.word(name).filter(move |at| file.code[at + name.len()..].starts_with("::"));
    strangers
        .flat_map(|(name, homes)| named(name).map(move |at| (at, format!("{name} lives in {}", homes.join(", ")))))
        .collect()
}

fn no_mod_rs(file: &File) -> Breaches {
    let breaks = file.path.ends_with("/mod.rs");
    breaks.then(|| (0, "name the file after its module, not mod.rs".to_owned())).into_iter().collect()
}

fn no_drawers(file: &File) -> Breaches {
    let stems = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    stems.filter(|stem| DRAWERS.contains(stem)).map(|stem| (0, format!("{stem} names a drawer, not a thing"))).collect()
}

fn files_are_short(file: &File) -> Breaches {
    let lines = file.text.lines().count();
    let breaks = file.path.starts_with("src/") && lines > FILE_LINES_MAX;
    breaks.then(|| (0, format!("{lines} lines, more than {FILE_LINES_MAX}"))).into_iter().collect()
}

fn functions_are_short(file: &File) -> Breaches {
    let length = |at: usize| file.code[at..item_end(&file.code, at)].lines().count();
    // A parenthesis right behind it makes it a type.
    let functions = file.word("fn").filter(|at| !file.code[at + 2..].trim_start().starts_with('('));
    let long = functions.map(|at| (at, length(at))).filter(|(_, lines)| *lines > FUNCTION_LINES_MAX);
    long.map(|(at, lines)| (at, format!("function of {lines} lines, more than {FUNCTION_LINES_MAX}"))).collect()
}

fn a_panic_has_its_reason(file: &File) -> Breaches {
    if file.module().is_none() {
        return Breaches::new();
    }
    let excused = |at: usize| {
        let line = file.text[..at].matches('\n').count();
        let near = file.text.lines().skip(line.saturating_sub(2)).take(line.min(2) + 1);
        let comments = near.filter_map(|line| line.split_once("//")).map(|(_, comment)| comment.to_lowercase());
        comments.into_iter().any(|comment| comment.contains("invariant") || comment.contains("cannot fail"))
    };
    let panics = [".unwrap()", ".expect("].into_iter().flat_map(|call| file.code.match_indices(call));
    panics
        .filter(|(at, _)| !file.is_test(*at) && !excused(*at))
        .map(|(at, _)| (at, "a panic needs a comment that names the invariant or says why it cannot fail".to_owned()))
        .collect()
}

fn nothing_is_left_open(file: &File) -> Breaches {
    let macros = ["todo", "unimplemented"].into_iter().flat_map(|name| {
        file.word(name).filter(|at| file.code[at + name.len()..].starts_with('!')).map(move |at| (at, name))
    });
    let words = LEFT_OPEN.into_iter().flat_map(|word| file.text.match_indices(word));
    macros.chain(words).map(|(at, word)| (at, format!("{word}: do it or drop it"))).collect()
}

fn no_test_is_ignored(file: &File) -> Breaches {
    file.code.match_indices("#[ignore").map(|(at, _)| (at, "an ignored test tests nothing".to_owned())).collect()
}

fn only_the_clock_tells_the_time(file: &File) -> Breaches {
    if file.module().is_none_or(|module| module == "clock") {
        return Breaches::new();
    }
    let asks = |at: &usize, name: &str| file.code[at + name.len()..].starts_with("::now");
    let asking = CLOCKS.into_iter().flat_map(|name| file.word(name).filter(move |at| asks(at, name)));
    asking.map(|at| (at, "only clock.rs asks for the time of day".to_owned())).collect()
}

fn detectors_have_a_header(file: &File) -> Breaches {
    let is_detector =
        file.path.strip_prefix("queries/").is_some_and(|name| !name.contains('/') && name.ends_with(".sql"));
    let breaks = is_detector && !file.text.starts_with("/*---");
    breaks.then(|| (0, "a detector starts with its header, /*---".to_owned())).into_iter().collect()
}

fn no_trailing_whitespace(file: &File) -> Breaches {
    let trailing = file.lines().filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    trailing.map(|(at, _)| (at, "whitespace at the end of the line".to_owned())).collect()
}

fn no_machine_paths(file: &File) -> Breaches {
    let read_by_others = ["docs/", "scripts/", ".ci/", "Makefile"].iter().any(|folder| file.path.starts_with(folder));
    if !read_by_others && !file.path.ends_with(".md") {
        return Breaches::new();
    }
    let found = MACHINE_PATHS.into_iter().flat_map(|path| file.text.match_indices(path));
    // Behind any of these it is just a folder further down.
    let goes_on = |before: char| before.is_alphanumeric() || "._-}~".contains(before);
    let absolute = found.filter(|(at, _)| !file.text[..*at].ends_with(goes_on));
    absolute.map(|(at, path)| (at, format!("{path} is a folder of somebody's machine"))).collect()
}
