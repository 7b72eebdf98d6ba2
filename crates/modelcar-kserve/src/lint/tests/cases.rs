//! Images that people made with other tools, a test for each kind of fault.

use tar::EntryType::{Char, Fifo, Symlink};

use super::*;

fn mode(mode: u32, member: Member<'_>) -> Member<'_> {
    Member { mode, ..member }
}

fn owned(owner: u64, mode: u32, member: Member<'_>) -> Member<'_> {
    Member { mode, owner, ..member }
}

fn holds<'a>(content: &'a str, member: Member<'a>) -> Member<'a> {
    Member { content, ..member }
}

/// The good image with a layer over it.
fn over(members: &[Member<'_>]) -> Image {
    let mut image = Image::good();
    image.layer(TAR, archive(members));
    image
}

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:aaaa\nsize 4976698672\n";

#[tokio::test]
async fn l01_a_root_folder_that_nobody_else_may_enter() {
    check("root 0700", over(&[mode(0o700, folder("./"))]), &["closed-folder"], "native fetch").await;
    check("root 0755", over(&[folder("./")]), &[], EVERYWHERE).await;
    // The last layer that states it decides.
    let mut mended = over(&[mode(0o700, folder("/"))]);
    mended.layer(TAR, archive(&[folder("./")]));
    check("mended", mended, &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l02_a_root_folder_of_the_models_layer() {
    let members = [mode(0o700, folder("./")), folder("./models/"), file("./models/config.json")];
    check("0700 and dotted", Image::with(&members), &["names", "closed-folder"], "native").await;
}

#[tokio::test]
async fn l03_a_relative_link_out_of_the_folder() {
    let lost = [folder("models/"), file("models/config.json"), link(Symlink, "models/m", "../../blobs/abc")];
    check("no such file", Image::with(&lost), &["outside-link"], "").await;
    let kept = [file("models/config.json"), file("blobs/abc"), link(Symlink, "models/m", "../blobs/abc")];
    check("a file beside", Image::with(&kept), &["outside-link"], "sidecar").await;
    let inside = [file("models/blobs/a"), file("models/c"), link(Symlink, "models/s/x", "../blobs/a")];
    check("within", Image::with(&inside), &[], EVERYWHERE).await;
    let dangling = |name| [file("models/config.json"), link(Symlink, name, "blobs/none")];
    check("weights", Image::with(&dangling("models/m.safetensors")), &["dangling-link"], "").await;
    check("a note", Image::with(&dangling("models/README.md")), &["dangling-link"], EVERYWHERE).await;
    let folder_link = [file("models/v1/config.json"), file("models/c"), link(Symlink, "models/latest", "v1")];
    check("a folder", Image::with(&folder_link), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l04_a_cache_of_the_hub() {
    let members =
        [file("models/models--Q--Q/blobs/aa"), link(Symlink, "models/models--Q--Q/snapshots/c/x", "../../blobs/aa")];
    check("cache", Image::with(&members), &["hub-cache"], EVERYWHERE).await;
}

#[tokio::test]
async fn l05_a_model_in_a_folder_of_its_own() {
    let notes = |members: &[Member<'_>]| {
        let image = Image::with(members);
        async { image.lint().await.platforms[0].findings.iter().map(LintFinding::to_string).collect::<Vec<_>>() }
    };
    let nested = notes(&[folder("models/"), file("models/.gitattributes"), file("models/qwen/config.json")]).await;
    assert!(nested.len() == 1 && nested[0].contains("need /mnt/models/qwen as the path"), "{nested:?}");
    // What Triton and OpenVINO's server want, and a model with folders beside its files.
    assert_eq!(notes(&[file("models/resnet/config.pbtxt"), file("models/resnet/1/model.onnx")]).await, [""; 0]);
    assert_eq!(notes(&[file("models/resnet/1/model.xml")]).await, [""; 0]);
    assert_eq!(notes(&[file("models/config.json"), file("models/onnx/model.onnx")]).await, [""; 0]);
}

#[tokio::test]
async fn l06_a_pointer_in_the_place_of_weights() {
    let members = [file("models/config.json"), holds(POINTER, file("models/model.safetensors"))];
    check("pointer", Image::with(&members), &["lfs-pointer"], "").await;
    let elsewhere = [file("models/config.json"), holds(POINTER, file("data/x"))];
    check("not of the model", Image::with(&elsewhere), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l07_a_shard_that_is_not_there() {
    let index = r#"{"metadata": {}, "weight_map": {"a": "m-1-of-2.safetensors", "b": "m-2-of-2.safetensors"}}"#;
    let with = |more: &[&str]| {
        let mut members = vec![file("models/config.json"), file("models/m-1-of-2.safetensors")];
        members.push(holds(index, file("models/model.safetensors.index.json")));
        members.extend(more.iter().map(|name| file(name)));
        Image::with(&members)
    };
    check("missing", with(&[]), &["missing-shards"], "").await;
    check("there", with(&["models/m-2-of-2.safetensors"]), &[], EVERYWHERE).await;
    check("one file beside", with(&["models/model.safetensors"]), &[], EVERYWHERE).await;
    let left_out = [file("models/m.gguf"), holds(index, file("models/model.safetensors.index.json"))];
    check("all left out", Image::with(&left_out), &["missing-shards"], EVERYWHERE).await;
    let other = holds("{\"weight_map\": 3}", file("models/model.safetensors.index.json"));
    check("no index", Image::with(&[file("models/c"), other]), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l12_programs_in_a_closed_folder() {
    check("bin 0700", over(&[mode(0o700, folder("bin/"))]), &["closed-folder"], "native fetch").await;
    // /bin is a link, and what it leads to is closed.
    let mut merged = Image::good();
    merged.layers.remove(0);
    let mut members = vec![link(Symlink, "bin", "usr/bin"), folder("usr/"), mode(0o700, folder("usr/bin/"))];
    members.extend(["sh", "ln", "ls", "sleep", "mkdir"].map(|_| mode(0o755, file("usr/bin/busybox"))));
    let links = ["usr/bin/sh", "usr/bin/ln", "usr/bin/ls", "usr/bin/sleep", "usr/bin/mkdir"];
    members.extend(links.map(|name| link(Symlink, name, "busybox")));
    merged.layer(TAR, archive(&members));
    check("usr/bin 0700", merged, &["closed-folder"], "native fetch").await;
    // Group 0 is the sidecar's.
    check("bin 0750", over(&[mode(0o750, folder("bin/"))]), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l18_hidden_files_alone() {
    let hidden = [folder("models/"), file("models/.gitattributes")];
    check("hidden", Image::with(&hidden), &["hidden-only"], EVERYWHERE).await;
}

#[tokio::test]
async fn l22_what_is_no_file() {
    let device = [file("models/config.json"), link(Char, "models/null", "")];
    check("device", Image::with(&device), &["special-file"], "sidecar native").await;
    let pipe = [file("models/config.json"), link(Fifo, "models/a/pipe", "")];
    check("pipe", Image::with(&pipe), &["special-file"], "sidecar native").await;
    check("elsewhere", over(&[link(Char, "dev/null", "")]), &[], EVERYWHERE).await;
}

#[tokio::test]
async fn l24_files_of_kserves_user() {
    let image =
        || Image::with(&[owned(1010, 0o750, folder("models/")), owned(1010, 0o640, file("models/config.json"))]);
    check("1010", image(), &["owner-only"], EVERYWHERE).await;
    let told_to = |user| async move { told(&image().lint_with(LintOptions { user, ..LintOptions::default() }).await) };
    assert_eq!(told_to(SidecarUser::Uid(2000)).await, (vec!["unreadable"], "fetch".to_owned()));
    assert_eq!(told_to(SidecarUser::None).await, (vec!["unreadable"], "fetch".to_owned()));
    // The init container runs as the user of the image.
    check("user 7", image().set("User", json!("7")), &["unreadable", "owner-only"], "native fetch").await;
    // The first that is the user's decides, as in the kernel.
    let shut_out = Image::with(&[folder("models/"), mode(0o604, file("models/x"))]);
    check("group 0 shut out", shut_out, &["unreadable"], "fetch").await;
}

#[tokio::test]
async fn an_adapter_without_its_base() {
    let adapter = [file("models/adapter_config.json"), file("models/adapter_model.safetensors")];
    check("adapter", Image::with(&adapter), &["adapter"], EVERYWHERE).await;
    let beside = [file("models/adapter_config.json"), file("models/config.json")];
    check("beside its base", Image::with(&beside), &[], EVERYWHERE).await;
}
