//! Graphs of a crate's top-level modules and of the files in a module's folder, read from the code, and their circles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
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
    let core = workspace().join("crates/modelcar-core/src");
    let mut wrong = Vec::new();
    for (module, least) in [("registry", 20), ("http", 4)] {
        let graph = files_graph(&core, module);
        assert!(graph.len() >= least && graph.values().any(|used| !used.is_empty()), "{module}: {graph:?}");
        // The module's root re-exports: a file that names it would depend on all others.
        let roots = graph.iter().filter(|(_, used)| used.contains(module));
        wrong.extend(roots.map(|(file, _)| format!("{file} names a re-export: name the file that has the item")));
        wrong.extend(circle(&graph).map(|circle| circle.join(" -> ")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn paths_lead_to_files() {
    assert_eq!(paths("{a::B, c::{self, D}}"), ["a::B", "c::self", "c::D"]);
    let files = ["m::a", "m::b", "m::b::c"].map(str::to_owned).into();
    let code =
        "use super::{d::E, c::F};\nuse crate::{http, m::a::G};\npub(in crate::m) fn x() { super::super::H::new() }";
    let found: Vec<String> = used_files(code, "m::b::c", "m", &files).into_iter().collect();
    assert_eq!(found, ["m", "m::a", "m::b"]);
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

/// Returns the graph of the files below the folder of `module`, each by its module path. The module's root is no part of
/// it.
fn files_graph(source: &Path, module: &str) -> Graph {
    let path = |file: &Path| {
        let within = file.strip_prefix(source).unwrap().with_extension("");
        let parts: Vec<&str> = within.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod").collect();
        parts.join("::")
    };
    let files: BTreeMap<String, PathBuf> = product_files(&source.join(module))
        .into_iter()
        .map(|file| (path(&file), file))
        .filter(|(path, _)| path != module)
        .collect();
    let paths = files.keys().cloned().collect();
    files.iter().map(|(path, file)| (path.clone(), used_files(&code(file), path, module, &paths))).collect()
}

/// Returns the files that the code of `file` names by `crate::`, `super::` or `self::`.
fn used_files(code: &str, file: &str, module: &str, files: &BTreeSet<String>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for start in ["crate::", "super::", "self::"] {
        let begins = |at: &usize| {
            let before = &code[..*at];
            // `pub(in crate::registry)` and the second `super::` of a path are no paths of their own.
            !before.ends_with([':', '_']) && !before.ends_with(char::is_alphanumeric) && !before.ends_with("pub(in ")
        };
        for at in code.match_indices(start).map(|(at, _)| at).filter(begins) {
            for path in paths(&code[at..]) {
                let target = resolve(&path, file);
                let known = (1..=target.len()).rev().map(|length| target[..length].join("::"));
                used.extend(known.into_iter().find(|path| path == module || files.contains(path)));
            }
        }
    }
    used.remove(file);
    used
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
