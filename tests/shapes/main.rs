//! What is packed of real repositories: file lists that were read on the Hub, and the table of what comes of them.
//!
//! `shapes.json` has the lists, each with the repository, the commit and the page that it was read on. Names and sizes are
//! those of the page; the contents are made up, so that headers can be read. `table.txt` is the outcome, to be read;
//! `UPDATE_SHAPES=1 cargo test -p modelcar-kserve --test shapes` writes it again.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "reads the variable that takes the table over")]

mod repository;

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use modelcar_core::{
    Plan,
    base::Base,
    facts::examine,
    plan::{PlanError, PlanOptions},
    source::{Origin, Source},
};
use modelcar_kserve::sizing::NodeDisk;

use self::repository::{Repository, Shape};

/// Files that are listed one by one; of more, the first ones.
const LISTED: usize = 12;

#[tokio::test]
async fn what_is_packed_of_real_repositories_is_one_table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/shapes");
    let shapes: Vec<Shape> = serde_json::from_slice(&fs::read(folder.join("shapes.json")).unwrap()).unwrap();
    assert!(shapes.len() >= 60, "{}", shapes.len());
    let mut table = String::from(
        "What modelcar packs of real repositories. Sizes are in bytes; the disk is that of a node, blobs and unpacked layers.\n",
    );
    for shape in shapes {
        table.push_str(&block(&shape).await);
    }
    let kept = folder.join("table.txt");
    if env::var_os("UPDATE_SHAPES").is_some() {
        fs::write(&kept, &table).unwrap();
    }
    let kept = fs::read_to_string(kept).unwrap();
    let differs = table.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
    assert!(table == kept, "read tests/shapes/table.txt and write it again; the first line that differs: {differs:?}");
}

/// Returns what comes of one repository.
async fn block(shape: &Shape) -> String {
    let commit = shape.commit.as_deref().map(|commit| format!("@{commit}")).unwrap_or_default();
    let partial = if shape.partial { ", in part" } else { "" };
    let mut text = format!("\n{}{commit} ({}{partial}) {}\n", shape.repository, shape.kind, shape.source);
    let source = Repository::new(shape);
    let files = source.list().await.unwrap();
    let plan = match Plan::new(&Origin::default(), files, &Base::scratch().image, &PlanOptions::default()) {
        Ok(plan) => plan,
        Err(PlanError::SeveralForms { choices }) => {
            for choice in choices {
                let _infallible = writeln!(text, "  choose   {} {}", choice.bytes, choice.pattern);
            }
            return text;
        }
        Err(error) => {
            let _infallible = writeln!(text, "  refused  {error}");
            return text;
        }
    };
    let packed: Vec<_> = plan.layers().iter().flat_map(|layer| &layer.files).collect();
    let _infallible = writeln!(
        text,
        "  packed   {} of {} files, {} bytes; disk {}",
        packed.len(),
        shape.files.len(),
        plan.content_bytes(),
        NodeDisk::of_plan(&plan).containerd.peak
    );
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in plan.left_out().iter().filter(|file| !file.is_git()) {
        reasons.entry(&file.reason).or_default().push(file.path.to_string());
    }
    for (reason, mut paths) in reasons {
        let more = paths.len().saturating_sub(LISTED);
        paths.truncate(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _infallible = writeln!(text, "  out      {}{more}: {reason}", paths.join(", "));
    }
    let examined = examine(&source, &packed, &[]).await.unwrap();
    let facts = examined.facts;
    let library = facts.library.map_or_else(|| "unknown".to_owned(), |library| library.to_string());
    let _infallible = writeln!(
        text,
        "  facts    {library}, {} bytes of weights",
        facts.weight_bytes.map_or_else(|| "no".to_owned(), |bytes| bytes.to_string())
    );
    for flaw in examined.flaws {
        let grade = if flaw.is_broken() { "broken" } else { "warning" };
        let _infallible = writeln!(text, "  {grade:8} {flaw}");
    }
    text
}
