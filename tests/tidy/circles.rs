//! The graph of a crate's top-level modules, read from its code, and the circles in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{code, exports, heads, product_files, uses, workspace};

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
