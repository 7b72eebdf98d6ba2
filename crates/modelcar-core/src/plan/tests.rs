use super::*;
use crate::{
    base::{Base, BaseRef},
    source::SourceRef,
};

fn file(path: &str, size: u64, content: Option<&str>) -> SourceFile {
    SourceFile { path: path.parse().unwrap(), size, content: content.map(|text| text.parse().unwrap()) }
}

fn sha(byte: u8) -> String {
    format!("sha256:{}", format!("{byte:02x}").repeat(32))
}

fn plan(files: Vec<SourceFile>, options: &PlanOptions) -> Result<Plan, PlanError> {
    Plan::new(&Origin::default(), files, &Base::scratch().image, options)
}

#[test]
fn a_plan_does_not_depend_on_the_order_of_the_listing() {
    let mut files: Vec<_> = (0..40_u8).map(|at| file(&format!("f{at}"), u64::from(at) << 22, Some(&sha(at)))).collect();
    let forward = plan(files.clone(), &PlanOptions::default()).unwrap();
    files.reverse();
    assert_eq!(plan(files, &PlanOptions::default()).unwrap(), forward);
}

#[test]
fn every_part_of_a_recipe_changes_its_digest() {
    let of = |path: &str, size, content: &str, mtime| {
        let options = PlanOptions { mtime, ..PlanOptions::default() };
        plan(vec![file(path, size, Some(content))], &options).unwrap().layers()[0].recipe.unwrap()
    };
    let recipes = [
        of("a", 1, &sha(1), 0),
        of("b", 1, &sha(1), 0),
        of("a", 2, &sha(1), 0),
        of("a", 1, &sha(2), 0),
        of("a", 1, &sha(1), 1),
    ];
    let distinct: std::collections::BTreeSet<_> = recipes.iter().collect();
    assert_eq!(distinct.len(), recipes.len());
    assert_eq!(plan(vec![file("a", 1, None)], &PlanOptions::default()).unwrap().layers()[0].recipe, None);
}

#[test]
fn a_lock_file_reads_back_and_a_forged_one_does_not() {
    let made = plan(vec![file("a/b.json", 7, Some(&sha(3)))], &PlanOptions::default()).unwrap();
    let lock = LockFile::new("owner/name@abc".parse().unwrap(), BaseRef::Scratch, made);
    let json = lock.to_json();
    assert_eq!(LockFile::parse(json.as_bytes()).unwrap(), lock);
    let forged = [
        json.replace("\"size\": 7", "\"size\": 8"),
        json.replace(&sha(3), &sha(4)),
        json.replace("\"schemaVersion\": 2", "\"schemaVersion\": 3"),
        json.replace("owner/name@abc", "name"),
        json.replace("scratch", "oci:"),
        json.replace("a/b.json", "a/../b.json"),
        json.replace("\"layerFormat\"", "\"format\""),
        json[..json.len() / 2].to_owned(),
    ];
    for text in forged {
        assert!(LockFile::parse(text.as_bytes()).is_err(), "{text}");
        assert!(serde_json::from_str::<LockFile>(&text).is_err(), "{text}");
    }
}

#[test]
fn a_plan_reads_back_and_a_forged_one_does_not() {
    let made = plan(vec![file("a", 7, Some(&sha(3))), file("b", 7, Some(&sha(4)))], &PlanOptions::default()).unwrap();
    let json = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), made);
    // The recipe is what a layer is looked up by: with that of another layer the wrong weights would be taken.
    let forged = json.replace(&made.layers()[0].recipe.unwrap().to_string(), &Digest::of("other").to_string());
    let error = serde_json::from_str::<Plan>(&forged).unwrap_err().to_string();
    assert!(error.contains("does not follow from its files"), "{error}");
}

#[test]
fn files_that_collide_are_refused_unless_one_is_left_out() {
    let files = || vec![file("README.md", 1, Some(&sha(1))), file("readme.md", 1, Some(&sha(2)))];
    let error = plan(files(), &PlanOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "`README.md` and `readme.md` differ only in letter case or Unicode form");
    let selection = Selection { exclude: vec!["readme.md".to_owned()], ..Selection::default() };
    let one = plan(files(), &PlanOptions { selection, ..PlanOptions::default() }).unwrap();
    assert_eq!(one.layers()[0].files.len(), 1);
    // A lock file is held to the same, whoever made it: all else in this one follows from its files.
    let mut forged = one;
    let own = SourceFile { path: "README.md/x".parse().unwrap(), ..forged.layers[0].files[0].clone() };
    forged.layers.push(Layer::new(vec![own], 0));
    let error = LockFile::parse(LockFile::new("./m".parse().unwrap(), BaseRef::Scratch, forged).to_json().as_bytes())
        .unwrap_err();
    assert_eq!(error.to_string(), "`README.md` is a file and the folder of `README.md/x`");
}

#[test]
fn platforms_narrow_the_base() {
    let options = |text: &str| PlanOptions { platforms: vec![text.parse().unwrap()], ..PlanOptions::default() };
    let one = plan(vec![file("a", 1, None)], &options("linux/arm64")).unwrap();
    assert_eq!(one.base().platforms.len(), 1);
    let error = plan(vec![file("a", 1, None)], &options("linux/s390x")).unwrap_err().to_string();
    assert_eq!(error, "the base has no platform `linux/s390x`, only linux/amd64, linux/arm64");
}

#[test]
fn ten_thousand_files_are_planned() {
    let files = (0..10_000).map(|at| file(&format!("dir{}/f{at}", at % 100), at << 10, Some(&sha(1)))).collect();
    let made = plan(files, &PlanOptions::default()).unwrap();
    assert_eq!(made.layers().iter().map(|layer| layer.files.len()).sum::<usize>(), 10_000);
}

#[test]
fn a_lock_file_of_version_1_has_its_source_told_by_its_commit() {
    let read = |commit: Option<&str>, source: &str| {
        let origin = Origin { commit: commit.map(str::to_owned), ..Origin::default() };
        let files = vec![file("a", 1, Some(&sha(1)))];
        let plan = Plan::new(&origin, files, &Base::scratch().image, &PlanOptions::default()).unwrap();
        let lock = LockFile::new("./x".parse().unwrap(), BaseRef::Scratch, plan).to_json();
        let lock =
            lock.replace("\"schemaVersion\": 2", "\"schemaVersion\": 1").replace("\"./x\"", &format!("\"{source}\""));
        let read = LockFile::parse(lock.as_bytes()).unwrap();
        assert_eq!(LockFile::parse(read.to_json().as_bytes()).unwrap(), read, "written again it is the same");
        read.source
    };
    assert_eq!(read(Some("abc"), "owner/name@abc"), "owner/name@abc".parse().unwrap());
    assert_eq!(read(None, "owner/name"), SourceRef::Dir("./owner/name".into()));
}
