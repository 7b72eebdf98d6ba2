//! Rules about the code itself that no lint knows: modules depend on each other in one direction, the pure ones do no
//! I/O, a file is small and opens with what it owns.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a file that can't be read is a failed test")]

mod circles;
mod contracts;
mod features;
mod flags;
mod guide;
mod imports;
mod messages;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The core's modules: each may use those before it and no other.
const ORDER: [&str; 30] = [
    "error",
    "files",
    "thread",
    "text",
    "digest",
    "path",
    "reference",
    "progress",
    "retry",
    "oci",
    "http",
    "source",
    "layer_format",
    "weights",
    "facts",
    "blob",
    "sink",
    "conformance",
    "layout",
    "registry",
    "reader",
    "base",
    "plan",
    "layer",
    "image",
    "inspect",
    "reuse",
    "pipeline",
    "download",
    "push",
];

/// Modules that know no runtime, network, file system or clock, with their crates.
const PURE: [(&str, &str); 13] = [
    ("modelcar-core", "text"),
    ("modelcar-core", "digest"),
    ("modelcar-core", "path"),
    ("modelcar-core", "reference"),
    ("modelcar-core", "oci"),
    ("modelcar-core", "layer_format"),
    ("modelcar-core", "plan"),
    ("modelcar-core", "reuse/action"),
    ("modelcar-core", "reuse/decide"),
    ("modelcar-kserve", "render"),
    ("modelcar-kserve", "check"),
    ("modelcar-kserve", "pin"),
    ("modelcar-kserve", "sizing"),
];

/// Words of code that does I/O.
const IO: [&str; 7] = ["tokio", "reqwest", "async ", "std::fs", "fs::", "TcpStream", "SystemTime"];

/// Lines that a source file may have, without its tests.
const FILE_LINES: usize = 600;

#[test]
fn core_modules_depend_on_earlier_ones_alone() {
    let core = workspace().join("crates/modelcar-core/src");
    let exports = exports(&fs::read_to_string(core.join("lib.rs")).unwrap());
    assert!(exports.get("Digest").is_some_and(|module| module == "digest"), "{exports:?}");
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in product_files(&core).into_iter().filter(|file| !file.ends_with("lib.rs")) {
        let text = code(&file);
        let uses = uses(&text).map(|name| exports.get(name).cloned().unwrap_or_else(|| name.to_owned()));
        let within = file.strip_prefix(&core).unwrap();
        let depth = within.iter().filter(|part| *part != "mod.rs").count();
        assert!(!text.contains(&"super::".repeat(depth)), "{}: write `crate::`", within.display());
        let module = within.iter().next().unwrap().to_str().unwrap();
        modules.entry(module.trim_end_matches(".rs").to_owned()).or_default().extend(uses);
    }
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    let mut wrong = Vec::new();
    for (module, uses) in &modules {
        let Some(own) = place(module) else {
            wrong.push(format!("{module} has no place in the order"));
            continue;
        };
        let later = uses.iter().filter(|used| place(used).is_none_or(|used| used > own));
        wrong.extend(later.map(|used| format!("{module} uses {used}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_core_does_not_know_kserves_crate() {
    let core = workspace().join("crates/modelcar-core");
    assert!(!fs::read_to_string(core.join("Cargo.toml")).unwrap().contains("modelcar-kserve"));
    for file in product_files(&core.join("src")) {
        assert!(!code(&file).contains("modelcar_kserve"), "{} names KServe's crate", file.display());
    }
}

#[test]
fn pure_modules_do_no_io() {
    let mut wrong = Vec::new();
    for (name, module) in PURE {
        let source = workspace().join("crates").join(name).join("src");
        let files = if source.join(module).is_dir() { product_files(&source.join(module)) } else { Vec::new() };
        let file = source.join(format!("{module}.rs"));
        let files: Vec<PathBuf> = files.into_iter().chain(file.exists().then_some(file)).collect();
        assert!(!files.is_empty(), "there is no {module}");
        for file in files {
            let text = code(&file);
            let found = IO.iter().filter(|io| text.contains(**io));
            wrong.extend(found.map(|io| format!("{}: {io}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_are_small_and_say_what_they_own() {
    let mut wrong = Vec::new();
    let files: Vec<PathBuf> = ["crates", "tests", "benches", "packaging"]
        .iter()
        .flat_map(|folder| product_files(&workspace().join(folder)))
        .collect();
    assert!(files.len() > 100, "{} files", files.len());
    for file in files {
        let (text, lines) = (fs::read_to_string(&file).unwrap(), code(&file).lines().count());
        if lines > FILE_LINES {
            wrong.push(format!("{} has {lines} lines", file.display()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not open with `//! `", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Files that read environment variables. A test of `modelcar-cli` compares their names with the table of `docs/cli.md`.
const READ_VARIABLES: [&str; 4] = [
    "modelcar-cli/src/log.rs",
    "modelcar-cli/src/ui/settings.rs",
    "modelcar-env/src/stores.rs",
    "modelcar-env/src/variables.rs",
];

#[test]
fn variables_are_read_where_their_names_are_listed() {
    let mut readers = BTreeSet::new();
    for file in product_files(&workspace().join("crates")) {
        if ["env::var", "env::vars", "temp_dir"].iter().any(|read| code(&file).contains(read)) {
            readers.insert(file.strip_prefix(workspace().join("crates")).unwrap().to_str().unwrap().to_owned());
        }
    }
    readers.retain(|file| !file.contains("/examples/"));
    assert_eq!(readers, READ_VARIABLES.map(str::to_owned).into());
}

/// Parts of the host names of registries and of clouds' metadata servers.
const SPECIAL_HOSTS: [&str; 12] = [
    "gcr.io",
    "pkg.dev",
    "docker.io",
    "ghcr",
    "amazonaws",
    "ecr.aws",
    "on.aws",
    "azurecr",
    "quay",
    "jfrog",
    "gitlab",
    "metadata.google",
];

/// Files of the core that may name special hosts: the table, and the name of the default base image.
const NAME_HOSTS: [&str; 3] = ["registry/quirks.rs", "base/base_ref.rs", "base/known.rs"];

#[test]
fn special_hosts_are_named_in_one_file() {
    let core = workspace().join("crates/modelcar-core/src");
    assert!(SPECIAL_HOSTS.iter().all(|host| code(&core.join(NAME_HOSTS[0])).contains(host)), "the table has changed");
    let mut wrong = Vec::new();
    for file in product_files(&core).into_iter().filter(|file| !NAME_HOSTS.iter().any(|name| file.ends_with(name))) {
        let text = code(&file);
        let found = SPECIAL_HOSTS.iter().filter(|host| text.contains(**host));
        wrong.extend(found.map(|host| format!("{} names {host}: ask `registry/quirks.rs`", file.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Sentences of before, which a stranger could not read.
const RIDDLES: [&str; 14] = [
    "which only a push can tell",
    "is not looked into",
    "has run out, or lacks the right",
    "what it says against it",
    "what was said to be there",
    "what answers does not speak",
    "some say so of",
    "is moved at the end",
    "did not go on where",
    "chunks are taken",
    "may go on where it broke",
    "waits by lot",
    "2 could not, 130",
    "is put once more",
];

#[test]
fn riddles_do_not_come_back() {
    let sources = ["crates", "docs"].map(|folder| workspace().join(folder));
    let texts = sources.iter().flat_map(|folder| [product_files(folder), pages(folder)].concat());
    let texts: Vec<PathBuf> = texts.chain([workspace().join("README.md")]).collect();
    assert!(texts.len() > 100, "{} texts", texts.len());
    let mut found = Vec::new();
    for file in texts {
        // A sentence may be broken over two lines.
        let text =
            fs::read_to_string(&file).unwrap().replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        found.extend(
            RIDDLES
                .iter()
                .filter(|riddle| text.contains(**riddle))
                .map(|riddle| format!("{}: {riddle}", file.display())),
        );
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Returns the pages in a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap().into()
}

/// Returns the Rust files under `folder` that are not a module's tests.
fn product_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "target"].contains(&name) {
            files.extend(product_files(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// Returns a file's lines without comments and without the tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    product.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// Returns the first names behind each `crate::`, of a path as of a list in braces.
fn uses(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("crate::").flat_map(|(at, found)| heads(&code[at + found.len()..]))
}

/// Returns the modules that the names come from which `lib.rs` exports.
fn exports(lib: &str) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for (at, found) in lib.match_indices("pub use self::") {
        for item in items(&lib[at + found.len()..]) {
            let mut names = item.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
            let module = names.next().unwrap();
            exports.extend(names.map(|name| (name.to_owned(), module.to_owned())));
        }
    }
    exports
}

fn heads(tree: &str) -> Vec<&str> {
    let head = |item: &'_ str| item.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(item.len());
    items(tree).into_iter().map(|item| &item[..head(item)]).filter(|name| !name.is_empty()).collect()
}

/// Returns what stands between the outer commas of a list in braces, or the text up to its statement's end.
fn items(tree: &str) -> Vec<&str> {
    let Some(list) = tree.strip_prefix('{') else { return vec![tree.split(';').next().unwrap()] };
    let (mut depth, mut start, mut items) = (0_u32, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.extend(Some(list[start..at].trim()).filter(|item| !item.is_empty()));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    items
}

#[test]
fn recipes_name_the_default_base() {
    let known = fs::read_to_string(workspace().join("crates/modelcar-core/src/base/known.rs")).unwrap();
    let digest = known.split('"').find(|text| text.starts_with("sha256:")).unwrap();
    for entry in fs::read_dir(workspace().join("recipes")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let recipe = fs::read_to_string(&path).unwrap();
        for line in recipe.lines().filter(|line| line.contains("busybox:")) {
            assert!(line.contains(digest), "{}: {line}", path.display());
        }
    }
}
