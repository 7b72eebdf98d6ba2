//! Every implementation of a contract is checked: it stands in the table of `tests/conformance`, or here with a reason.

use std::fs;

use super::{code, product_files, workspace};

/// Implementations that give on what another one does, or that are no implementation for everybody.
const APART: [(&str, &str); 3] = [
    ("Metered", "counts the bytes of the source below, which is checked"),
    ("Proven", "compares what the source below gives, which is checked, with what it gave before"),
    (
        "BlobSource",
        "gives the files of one layer to that layer alone, in the layer's order, and can't be had elsewhere",
    ),
];

#[test]
fn every_source_and_sink_is_held_to_its_contract() {
    let table = fs::read_to_string(workspace().join("tests/conformance/main.rs")).unwrap();
    let mut found = Vec::new();
    let files = product_files(&workspace().join("crates"));
    // An example is a program of somebody else.
    for file in files.into_iter().filter(|file| !file.components().any(|part| part.as_os_str() == "examples")) {
        let text = code(&file);
        for contract in [" Source for ", " Sink for "] {
            for line in text.lines().filter(|line| line.starts_with("impl")) {
                let name = line.split_once(contract).map(|(_, name)| name);
                found.extend(name.map(|name| name.split([' ', '<']).next().unwrap_or_default().to_owned()));
            }
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    let is_apart = |name: &str| APART.iter().any(|(apart, _)| *apart == name);
    let missing: Vec<_> =
        found.iter().filter(|name| !table.contains(&format!("(\"{name}\"")) && !is_apart(name)).collect();
    assert!(missing.is_empty(), "in no table: {missing:?}");
    let gone: Vec<_> = APART.iter().filter(|(apart, _)| !found.iter().any(|name| name == apart)).collect();
    assert!(gone.is_empty(), "no longer there: {gone:?}");
}

#[test]
fn a_contract_has_no_default_that_a_wrapper_could_forget() {
    let core = workspace().join("crates/modelcar-core/src");
    for (file, contract) in
        [("source/mod.rs", "pub trait Source:"), ("sink/mod.rs", "pub trait Sink:"), ("blob.rs", "pub trait Blob:")]
    {
        let text = code(&core.join(file));
        let (_, from) = text.split_once(contract).unwrap_or_else(|| panic!("{file} has no {contract}"));
        let methods = from.split("\n}\n").next().unwrap_or_default();
        assert!(methods.matches("fn ").count() >= 4, "{contract} {methods}");
        // The brace of the trait itself is the only one.
        assert_eq!(methods.matches('{').count(), 1, "{contract} has a default");
    }
}
