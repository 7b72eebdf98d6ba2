//! What the plan imports: data, from files that do no I/O.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{IO, circles::paths, code, exports, product_files, workspace};

#[test]
fn the_plan_imports_no_io() {
    let core = workspace().join("crates/modelcar-core/src");
    let exports = exports(&fs::read_to_string(core.join("lib.rs")).unwrap());
    let mut imported = BTreeSet::new();
    for file in product_files(&core.join("plan")) {
        let text = code(&file);
        for (at, found) in text.match_indices("crate::") {
            for path in paths(&text[at + found.len()..]) {
                let (module, name) = path.split_once("::").unwrap_or((&path, "self"));
                let name = name.rsplit("::").next().unwrap();
                match exports.get(module) {
                    Some(from) => imported.insert((from.clone(), module.to_owned())),
                    None => imported.insert((module.to_owned(), name.to_owned())),
                };
            }
        }
    }
    assert!(imported.contains(&("base".to_owned(), "BaseImage".to_owned())), "{imported:?}");
    let mut wrong = Vec::new();
    for (module, name) in imported {
        let files = files_of(&core, &module, &name);
        assert!(!files.is_empty(), "no file of `{module}` has `{name}`");
        for file in files {
            let text = code(&file);
            let words = IO.iter().filter(|word| text.contains(**word));
            wrong.extend(words.map(|word| format!("{module}::{name} is in {}, which has `{word}`", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Returns the files of a module that define `name`; all of its files for `self`.
fn files_of(core: &Path, module: &str, name: &str) -> Vec<PathBuf> {
    let (folder, file) = (core.join(module), core.join(format!("{module}.rs")));
    let mut files = if folder.is_dir() { product_files(&folder) } else { Vec::new() };
    files.extend(file.exists().then_some(file));
    let kinds = ["struct", "enum", "trait", "fn", "const", "type"];
    let defines = |file: &PathBuf| {
        let text = code(file);
        kinds.iter().any(|kind| {
            let definition = format!("{kind} {name}");
            text.match_indices(&definition)
                .any(|(at, _)| !text[at + definition.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    if name != "self" {
        files.retain(defines);
    }
    files
}
