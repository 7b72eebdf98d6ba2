//! Graphs of a crate's top-level modules and of the files in a module's folder, read from the code, and their circles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{code, exports, heads, items, product_files, uses, workspace};

/// For each module the modules that its code names.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_crate_has_a_circle_of_modules() {
    let mut wrong = Vec::new();
    for (name, root, least) in [
        ("modelcar-core", "lib.rs", 20),
        ("modelcar-kserve", "lib.rs", 5),
        ("modelcar-cli", "main.rs", 8),
        ("twin-sha256", "lib.rs", 1),
    ] {
        let graph = graph(&workspace().join("crates").join(name).join("src"), root);
        assert!(graph.len() >= least, "{name}: {:?}", graph.keys());
        wrong.extend(circle(&graph).map(|circle| format!("{name}: {}", circle.join(" -> "))));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_files_of_a_module_have_no_circle() {
    let mut wrong = Vec::new();
    for (name, least) in [("modelcar-core", 12), ("modelcar-kserve", 3), ("modelcar-cli", 2)] {
        let source = workspace().join("crates").join(name).join("src");
        let folders = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let modules: Vec<String> =
            folders.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert!(modules.len() >= least, "{name}: {modules:?}");
        for module in modules {
            let graph = files_graph(&source, &module);
            assert!(graph.len() > 1, "{name}: {graph:?}");
            wrong.extend(circle(&graph).map(|circle| format!("{name}: {}", circle.join(" -> "))));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn paths_lead_to_files() {
    assert_eq!(paths("{a::B, c::{self, D}}"), ["a::B", "c::self", "c::D"]);
    let code = |path: &str| match path {
        "m" => "pub use self::{a::{A, G}, b::B};\nstruct E;",
        "m::b::c" => {
            "use super::{d::E, c::F};\nuse crate::{http, m::a::G};\npub(in crate::m) fn x() { super::super::H::new() }"
        }
        "m::b" => "use super::{A, E};",
        _ => "",
    };
    let files: BTreeMap<String, String> =
        ["m", "m::a", "m::b", "m::b::c"].map(|path| (path.to_owned(), code(path).to_owned())).into();
    let found = |file: &str| used_files(file, &files).into_iter().collect::<Vec<_>>();
    assert_eq!(found("m::b::c"), ["m", "m::a", "m::b"]);
    assert_eq!(found("m::b"), ["m", "m::a"], "`A` is of `a`, `E` of the root");
    assert_eq!(found("m"), Vec::<String>::new(), "a re-export is no use");
}

#[test]
fn a_circle_is_found() {
    let graph = |edges: &[(&str, &[&str])]| -> Graph {
        edges.iter().map(|(from, to)| ((*from).into(), to.iter().map(|name| (*name).into()).collect())).collect()
    };
    assert_eq!(circle(&graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    let found = circle(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])).unwrap();
    assert_eq!(found, ["b", "c", "b"]);
}

/// Returns the graph of the modules below the crate's root file, which is no part of it.
fn graph(source: &Path, root: &str) -> Graph {
    let exports = exports(&fs::read_to_string(source.join(root)).unwrap());
    let mut graph = Graph::new();
    for file in product_files(source).into_iter().filter(|file| *file != source.join(root)) {
        let within = file.strip_prefix(source).unwrap();
        let module = within.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let depth = within.iter().filter(|part| *part != "mod.rs").count();
        let text = code(&file);
        let named = uses(&text).chain(above(&text, depth));
        let modules: Vec<String> =
            named.map(|name| exports.get(name).cloned().unwrap_or_else(|| name.to_owned())).collect();
        graph.entry(module.clone()).or_default().extend(modules.into_iter().filter(|used| *used != module));
    }
    graph
}

/// Returns the graph of the files of `module`, its root among them, each by its module path.
fn files_graph(source: &Path, module: &str) -> Graph {
    let path = |file: &Path| {
        let within = file.strip_prefix(source).unwrap().with_extension("");
        let parts: Vec<&str> = within.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod").collect();
        parts.join("::")
    };
    let root = source.join(format!("{module}.rs"));
    let files = product_files(&source.join(module)).into_iter().chain(root.exists().then_some(root));
    let files: BTreeMap<String, String> = files.map(|file| (path(&file), code(&file))).collect();
    files.keys().map(|file| (file.clone(), used_files(file, &files))).collect()
}

/// Returns the files that the code of `file` names by `crate::`, `super::` or `self::`. What a file re-exports is of the
/// file that has the item, and a re-export is no use.
fn used_files(file: &str, files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let (mut used, code) = (BTreeSet::new(), without_exports(&files[file]));
    for start in ["crate::", "super::", "self::"] {
        let begins = |at: &usize| {
            let before = &code[..*at];
            // `pub(in crate::registry)` and the second `super::` of a path are no paths of their own.
            !before.ends_with([':', '_']) && !before.ends_with(char::is_alphanumeric) && !before.ends_with("pub(in ")
        };
        for at in code.match_indices(start).map(|(at, _)| at).filter(begins) {
            used.extend(paths(&code[at..]).iter().filter_map(|path| file_of(resolve(path, file), files)));
        }
    }
    used.remove(file);
    used
}

/// Returns the file that has the item of an absolute path.
fn file_of(mut path: Vec<String>, files: &BTreeMap<String, String>) -> Option<String> {
    loop {
        let (length, file) = (1..=path.len())
            .rev()
            .map(|length| (length, path[..length].join("::")))
            .find(|(_, name)| files.contains_key(name))?;
        let Some(item) = path.get(length) else { return Some(file) };
        let exported = re_exports(&files[&file]).into_iter().find(|path| path.rsplit("::").next() == Some(item));
        // What is re-exported from another module is not of these files.
        let Some(from) = exported else { return Some(file) };
        let followed = resolve(&from, &file);
        if followed == path {
            return Some(file);
        }
        path = followed;
    }
}

/// Returns the paths that a file re-exports.
fn re_exports(code: &str) -> Vec<String> {
    statements(code).filter(|(is_export, _)| *is_export).flat_map(|(_, tree)| paths(tree)).collect()
}

fn without_exports(code: &str) -> String {
    let mut code = code.to_owned();
    for (_, tree) in statements(&code.clone()).filter(|(is_export, _)| *is_export) {
        code = code.replacen(tree, "", 1);
    }
    code
}

/// Returns each `use` of a file as whether the `use` re-exports, and its tree.
fn statements(code: &str) -> impl Iterator<Item = (bool, &str)> {
    code.match_indices("use ").filter_map(|(at, found)| {
        let line = code[..at].rsplit('\n').next().unwrap();
        let tree = code[at + found.len()..].split(';').next().unwrap();
        let is_use = line.is_empty() || line.starts_with("pub");
        is_use.then_some((line.starts_with("pub"), tree))
    })
}

/// Returns the absolute path of a path that the code of `file` writes.
fn resolve(path: &str, file: &str) -> Vec<String> {
    let mut absolute: Vec<String> = file.split("::").map(str::to_owned).collect();
    for part in path.split("::") {
        match part {
            "crate" => absolute.clear(),
            "super" => drop(absolute.pop()),
            "self" => {}
            name => absolute.push(name.to_owned()),
        }
    }
    absolute
}

/// Returns each path of a tree such as `a::{b, c::D}`.
pub(crate) fn paths(tree: &str) -> Vec<String> {
    if tree.starts_with('{') {
        return items(tree).into_iter().flat_map(paths).collect();
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    match rest.strip_prefix("::") {
        Some(below) => paths(below).into_iter().map(|path| format!("{name}::{path}")).collect(),
        None => vec![name.to_owned()],
    }
}

/// Returns the first names behind as many `super::` as lead to the crate's root.
fn above(code: &str, depth: usize) -> impl Iterator<Item = &str> {
    let path = "super::".repeat(depth);
    let ends: Vec<usize> = code.match_indices(&path).map(|(at, found)| at + found.len()).collect();
    ends.into_iter().flat_map(|end| heads(&code[end..]))
}

/// Returns modules of which each uses the next, and the last the first.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| walk(graph, module, &mut Vec::new(), &mut done))
}

fn walk(graph: &Graph, module: &str, path: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(start) = path.iter().position(|name| name == module) {
        return Some(path[start..].iter().cloned().chain([module.to_owned()]).collect());
    }
    if !done.insert(module.to_owned()) {
        return None;
    }
    path.push(module.to_owned());
    let found = graph.get(module).into_iter().flatten().find_map(|used| walk(graph, used, path, done));
    path.pop();
    found
}
