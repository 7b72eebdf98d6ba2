//! Images with something odd about them: `inspect --lint` or `render` refuses them and the cluster agrees, or they serve.

use std::fs;

use super::{
    Outcome, Scenario,
    kinds::{SERVER, serve},
    models::Models,
    refusal,
};
use crate::{
    images::Run,
    program::output,
    scene::{Model, Scene, push},
    wait::Result,
};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("image-without-shell", without_shell),
        Scenario::new("image-entrypoint-that-ends", |scene, models| {
            let config = Run { user: "1010", entrypoint: &["/bin/true"] };
            let image = changed(scene, models, |tag| scene.cluster.images.configure(tag, config))?;
            refused(scene, &image, "entrypoint", &["sidecar-ended"])
        }),
        Scenario::new("image-entrypoint-harmless", |scene, models| {
            // env runs the command that it is given: the lint warns of any entrypoint, the cluster does not mind this one.
            let config = Run { user: "1010", entrypoint: &["/bin/env"] };
            let image = changed(scene, models, |tag| scene.cluster.images.configure(tag, config))?;
            let (status, codes) = scene.lint(&image.image)?;
            if status != 1 || !codes.contains(&"error entrypoint".to_owned()) {
                return Err(format!("inspect --lint ended with {status}: {codes:?}").into());
            }
            serve(scene, &image, &["--custom-container", SERVER])?;
            Ok(Outcome::As("refused by inspect --lint (entrypoint) as every one is; this one serves".to_owned()))
        }),
        Scenario::new("image-other-platform", other_platform),
        Scenario::new("image-relative-link", |scene, models| {
            let image = changed(scene, models, |tag| add(scene, tag, "config-link.json", Entry::Link("config.json")))?;
            let (status, codes) = scene.lint(&image.image)?;
            if status != 0 {
                return Err(format!("inspect --lint ended with {status}: {codes:?}").into());
            }
            serve(scene, &image, &["--custom-container", SERVER])?;
            Ok(Outcome::As("Ready, and inspect --lint passes it".to_owned()))
        }),
        Scenario::new("image-absolute-link", |scene, models| {
            let target = Entry::Link("/models/config.json");
            let image = changed(scene, models, |tag| add(scene, tag, "config-link.json", target))?;
            let refused = lint_refuses(scene, &image, "absolute-link")?;
            // The pod starts, and the server does not see what the link names.
            let pod = serve(scene, &image, &["--custom-container", SERVER])?;
            let seen = scene.seen(&pod)?["files"]["config-link.json"].to_string();
            if seen.contains("no such file") { Ok(refused) } else { Err(format!("the server sees {seen}").into()) }
        }),
        Scenario::new("image-unreadable-file", |scene, models| {
            let image = changed(scene, models, |tag| add(scene, tag, "secret.json", Entry::File(0o600)))?;
            let refused = lint_refuses(scene, &image, "unreadable")?;
            let pod = serve(scene, &image, &["--custom-container", SERVER])?;
            let seen = scene.seen(&pod)?["files"]["secret.json"].to_string();
            if seen.contains("permission denied") { Ok(refused) } else { Err(format!("the server sees {seen}").into()) }
        }),
        Scenario::new("image-without-models", |scene, models| {
            let image = changed(scene, models, |tag| {
                let empty = scene.cluster.state.join("nothing");
                fs::create_dir_all(&empty)?;
                // The shell alone: what is packed by a Dockerfile that copies to another place.
                let config = Run { user: "1010", entrypoint: &[] };
                scene.cluster.images.derive(tag, "huggingface", config)
            })?;
            refused(scene, &image, "no-models", &["no-models"])
        }),
    ]
}

/// What is added to an image.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Link(&'static str),
    File(u32),
}

/// Takes the tiny model's image, changes it, and pushes it under this scenario's name.
fn changed(scene: &Scene<'_>, models: &Models, change: impl FnOnce(&str) -> Result) -> Result<Model> {
    let (tag, images) = (scene.namespace.as_str(), &scene.cluster.images);
    images.fetch(&models.tiny.image, tag)?;
    change(tag)?;
    let name = images.push(tag, &format!("{}/models/{tag}:v1", crate::registry::OPEN))?;
    let digest = crate::program::run(std::process::Command::new("skopeo").args([
        "inspect",
        "--tls-verify=false",
        "--format={{.Digest}}",
        &format!("docker://{name}"),
    ]))?;
    let repository = name.rsplit_once(':').map_or(name.as_str(), |(repository, _)| repository);
    Ok(Model { image: format!("{repository}@{}", digest.trim()), files: models.tiny.files.clone() })
}

fn add(scene: &Scene<'_>, tag: &str, name: &str, entry: Entry) -> Result {
    let folder = scene.cluster.state.join("changes").join(tag);
    fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    match entry {
        Entry::Link(target) => std::os::unix::fs::symlink(target, &file)?,
        Entry::File(mode) => {
            use std::os::unix::fs::PermissionsExt as _;
            fs::write(&file, "{}")?;
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        }
    }
    scene.cluster.images.insert(tag, &file, &format!("/models/{name}"))
}

/// An image for other nodes is right on those, so that it is warned of and not refused; this node can't run it.
fn other_platform(scene: &Scene<'_>, _: &Models) -> Result<Outcome> {
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Outcome::As("tried on nodes of x86-64 alone".to_owned()));
    }
    let images = &scene.cluster.images;
    images.derive("arm64", "huggingface", Run { user: "1010", entrypoint: &[] })?;
    images.set_architecture("arm64", "arm64")?;
    let folder = scene.cluster.parts.workspace.join("fixtures/tiny-model");
    let image =
        push(scene.cluster, &folder, "arm64", &["--base", &format!("oci:{}", images.layout("arm64").display())])?;
    let (status, codes) = scene.lint(&image.image)?;
    if !codes.contains(&"warning platform".to_owned()) {
        return Err(format!("inspect --lint ended with {status} and {codes:?}, not platform").into());
    }
    scene.apply(&scene.render(&image, &["--name", "model", "--custom-container", SERVER])?)?;
    let words = scene.fails_with(&["image-platform"], "no match for platform")?;
    Ok(Outcome::Refused { by: "a warning of inspect --lint", why: format!("platform; in the cluster: {words}") })
}

/// `inspect --lint` refuses the image with a code.
fn lint_refuses(scene: &Scene<'_>, image: &Model, code: &str) -> Result<Outcome> {
    let (status, codes) = scene.lint(&image.image)?;
    if status == 1 && codes.contains(&format!("error {code}")) {
        return Ok(Outcome::Refused { by: "inspect --lint", why: format!("{codes:?}; the server can't read it") });
    }
    Err(format!("inspect --lint ended with {status} and {codes:?}, not {code}").into())
}

/// `inspect --lint` refuses the image, and the cluster does too: `check` says why.
fn refused(scene: &Scene<'_>, image: &Model, code: &str, checked: &[&str]) -> Result<Outcome> {
    lint_refuses(scene, image, code)?;
    scene.apply(&scene.render(image, &["--name", "model", "--custom-container", SERVER])?)?;
    let words = scene.fails_with(checked, "")?;
    Ok(Outcome::Refused { by: "inspect --lint", why: format!("{code}; in the cluster: {words}") })
}

/// Nothing below the weights: no sidecar can run, and nothing is rendered for one.
fn without_shell(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let mut render = scene.cluster.modelcar();
    refusal("render", &output(render.arg("render").arg(&models.scratch.image))?)
}
