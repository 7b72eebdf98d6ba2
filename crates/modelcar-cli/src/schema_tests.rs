//! The JSON schemas in `docs/schemas`, which a test writes and compares. They are made from the types that the answers are
//! written from; `tests/cli/json.rs` holds real answers against them.

use std::{env, fs, path::Path};

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Value, json};

use crate::{
    commands::{base, build, check, doctor, download, inspect, lint, lock_check, pin, plan, push},
    hint::document::FailureDocument,
    ui::events::Line,
};

/// Every schema: the name of its file, and what it describes.
fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        schema::<plan::PlanAnswer<'_>>("plan", "Answer of `modelcar plan --format json`"),
        schema::<lock_check::LockCheckAnswer<'_>>("plan-check", "Answer of `modelcar plan --check --format json`"),
        schema::<push::PushAnswer<'_>>("push", "Answer of `modelcar push --format json`"),
        schema::<build::BuildAnswer<'_>>("build", "Answer of `modelcar build --format json`"),
        schema::<download::DownloadAnswer<'_>>("download", "Answer of `modelcar download --format json`"),
        schema::<inspect::InspectAnswer<'_>>("inspect", "Answer of `modelcar inspect --format json`"),
        schema::<lint::LintAnswer<'_>>("inspect-lint", "Answer of `modelcar inspect --lint --format json`"),
        schema::<base::BaseAnswer<'_>>("base", "Answer of `modelcar base --format json`"),
        schema::<base::CopyAnswer<'_>>("base-copy-to", "Answer of `modelcar base --copy-to --format json`"),
        schema::<doctor::DoctorAnswer<'_>>("doctor", "Answer of `modelcar doctor --format json`"),
        schema::<pin::PinAnswer<'_>>("pin", "Answer of `modelcar pin --format json`, with --check too"),
        schema::<check::CheckAnswer<'_>>("check", "Answer of `modelcar check --format json`"),
        schema::<FailureDocument>("error", "Answer of a command with `--format json` that fails"),
        schema::<Line<'_>>("event", "Line of stderr with `--progress json`"),
        schema::<modelcar_core::plan::LockFile>("lock", "Lock file of `modelcar plan --output`"),
    ]
}

/// Returns the schema of `T` as it is written, under the name of its file.
fn schema<T: JsonSchema>(name: &'static str, title: &str) -> (&'static str, Schema) {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.with_transform(in_words_of_json).into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), json!(format!("{}/schemas/{name}.json", docs!("").trim_end_matches('/'))));
    schema.insert("title".to_owned(), json!(title));
    // The text about the Rust type says nothing to a reader of JSON.
    schema.remove("description");
    (name, schema)
}

/// Turns what a description says to a reader of Rust into words for a reader of JSON: links to other items of the program
/// become their texts.
fn in_words_of_json(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let lines = text.lines().filter(|line| !line.starts_with("[`"));
        let joined = lines.collect::<Vec<_>>().join("\n");
        *text =
            joined.replace("[`", "`").replace("`]", "`").replace("`None`", "`null` or absent").trim_end().to_owned();
    }
    transform_subschemas(&mut in_words_of_json, schema);
}

#[test]
fn the_folder_has_the_schemas_of_all_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    let is_update = env::var_os("UPDATE_SCHEMAS").is_some();
    for (name, schema) in schemas() {
        let file = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if is_update {
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert!(text == kept, "docs/schemas/{name}.json is old: UPDATE_SCHEMAS=1 writes it again");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), schemas().len(), "docs/schemas has other files");
}
