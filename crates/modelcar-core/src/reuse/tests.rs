use std::thread;

use super::{Cache, image_layer::one_manifest};
use crate::{
    Digest,
    oci::{Document, Manifest},
    plan::Layer,
    source::SourceFile,
};

#[tokio::test]
async fn the_cache_keeps_what_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path());
    let [recipe, digest, lie] = ["recipe", "layer", "lie"].map(Digest::of);
    cache.note(vec![(recipe, lie, 7, false)], "r.io/a".to_owned()).await;
    assert_eq!(cache.get(&recipe), None, "an image's word is not kept");
    cache.note(vec![(recipe, digest, 7, true)], "r.io/a".to_owned()).await;
    cache.note(vec![(recipe, digest, 7, false)], "r.io/b".to_owned()).await;
    cache.note(vec![(recipe, lie, 7, false)], "r.io/c".to_owned()).await;
    let known = cache.get(&recipe).unwrap();
    assert_eq!((known.digest, known.size), (digest, 7));
    assert_eq!(known.repositories, ["r.io/b", "r.io/a"]);
    for number in 0..20 {
        cache.note(vec![(recipe, digest, 7, true)], format!("r.io/{number}")).await;
    }
    assert_eq!(cache.get(&recipe).unwrap().repositories.len(), 8);
    let file = std::fs::read_dir(dir.path().join("recipes-v1")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, "{").unwrap();
    assert_eq!(cache.get(&recipe), None, "what can't be read is not there");
}

#[tokio::test]
async fn the_cache_believes_no_entry_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path());
    let [recipe, other, layer, lie] = ["recipe", "other", "layer", "lie"].map(Digest::of);
    cache.note(vec![(recipe, layer, 7, true)], "r.io/a".to_owned()).await;
    let path = |recipe: &Digest| dir.path().join("recipes-v1").join(format!("{}.json", recipe.hex()));
    let text = std::fs::read_to_string(path(&recipe)).unwrap();
    std::fs::write(path(&other), &text).unwrap();
    assert_eq!(cache.get(&other), None, "an entry of another recipe");
    std::fs::write(path(&recipe), text.replace(&layer.to_string(), &lie.to_string())).unwrap();
    assert_eq!(cache.get(&recipe), None, "an entry with another digest");
    std::fs::write(path(&recipe), &text).unwrap();
    assert!(cache.get(&recipe).is_some());
    let key = dir.path().join("recipes.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(cache.get(&recipe), None, "a key that others can read");
}

#[tokio::test]
async fn the_cache_removes_no_file_of_others_and_waits_for_no_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("recipes-v1");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..4200 {
        std::fs::write(folder.join(format!("mine-{number}.txt")), "").unwrap();
        std::fs::write(folder.join(format!(".1-{number}-0.partial")), "").unwrap();
    }
    let cache = Cache::new(dir.path());
    let [recipe, layer] = ["recipe", "layer"].map(Digest::of);
    cache.note(vec![(recipe, layer, 7, true)], "r.io/a".to_owned()).await;
    let names = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names().filter(|name| name.starts_with("mine-")).count(), 4200);
    assert_eq!(names().count(), 4200 + 4096);
    let entry = folder.join(format!("{}.json", recipe.hex()));
    std::fs::remove_file(&entry).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &entry, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_eq!(cache.get(&recipe), None);
}

#[test]
fn runs_share_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let runs: Vec<_> = (0..8_u64)
        .map(|run| {
            let cache = Cache::new(dir.path());
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in 0..50_u64 {
                    let (recipe, layer) = (Digest::of(number.to_le_bytes()), Digest::of([7; 9]));
                    runtime.block_on(cache.note(vec![(recipe, layer, number, true)], format!("r.io/{run}")));
                    assert_eq!(cache.get(&recipe).unwrap().size, number, "never half of an entry");
                }
            })
        })
        .collect();
    for run in runs {
        run.join().unwrap();
    }
    let unfinished = std::fs::read_dir(dir.path().join("recipes-v1")).unwrap();
    assert_eq!(unfinished.count(), 50, "nothing unfinished stays");
}

fn manifest_with(files: &str, recipe: &str, size: u64, media_type: &str) -> Manifest {
    let annotations = serde_json::json!({"io.modelcar.layer.files": files, "io.modelcar.layer.recipe": recipe});
    let digest = Digest::of("layer");
    let layer =
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": size, "annotations": annotations});
    let config = serde_json::json!({"digest": digest, "size": 2});
    let json = serde_json::json!({"config": config, "layers": [layer]}).to_string();
    let Ok(Document::Manifest(manifest)) = Document::parse(json.as_bytes()) else { panic!("{json}") };
    manifest
}

#[test]
fn a_found_layer_must_agree_with_itself() {
    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    let content = "sha256:".to_owned() + &Digest::of("x").hex();
    let files = format!(r#"[{{"path":"a","size":1,"content":"{content}"}}]"#);
    let parsed: Vec<SourceFile> = serde_json::from_str(&files).unwrap();
    let layer = Layer::new(parsed, 0);
    let recipe = layer.recipe.unwrap().to_string();
    let found = |files: &str, recipe: &str, size: u64, media_type: &str| {
        let found = one_manifest(&manifest_with(files, recipe, size, media_type)).layers;
        found.first().map(|found| found.is_consistent(0))
    };
    assert_eq!(found(&files, &recipe, layer.size, TAR), Some(true));
    assert_eq!(found(&files, &recipe, layer.size + 512, TAR), Some(false));
    assert_eq!(found(&files, &Digest::of("other").to_string(), layer.size, TAR), Some(false));
    assert_eq!(found(&files.replace("\"a\"", "\"b\""), &recipe, layer.size, TAR), Some(false));
    assert_eq!(found(&files, &recipe, layer.size, "application/vnd.oci.image.layer.v1.tar+gzip"), None);
    for hostile in ["[]", "x", r#"[{"path":"../a","size":1}]"#, r#"[{"path":"a","size":18446744073709551615}]"#] {
        assert_eq!(found(hostile, &recipe, layer.size, TAR), None, "{hostile}");
    }
}
