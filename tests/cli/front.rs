//! The programs in the library's `examples/`; that of its front page pushes the image that `modelcar push` pushes.

use std::path::{Path, PathBuf};

use super::*;

/// A static busybox, where Debian puts it.
const BUSYBOX: &str = "/bin/busybox";

/// Returns the program and its base. `cargo test --workspace` builds the program.
fn example() -> Option<(PathBuf, String)> {
    let program = Path::new(env!("CARGO_BIN_EXE_modelcar")).parent().unwrap().join("examples/push");
    let missing = [program.as_path(), Path::new(BUSYBOX)].into_iter().find(|path| !path.exists());
    if let Some(missing) = missing {
        assert!(std::env::var_os("MODELCAR_REQUIRE_INTEROP").is_none(), "{} is not there", missing.display());
        return None;
    }
    Some((program, format!("binary:{BUSYBOX}")))
}

#[test]
fn the_program_of_the_front_page_pushes_the_same_image() {
    let Some((example, base)) = example() else { return };
    let env = Env::new();
    let pushed = env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", &base]);
    let like = env.command(&["push"]);
    let output = Command::new(example)
        .args([MODEL, &env.image("c/d:v1"), &base])
        .env_clear()
        .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let digest = |image: &str| image.trim().split_once('@').unwrap().1.to_owned();
    assert_eq!(digest(&text(&output.stdout)), digest(&pushed));
    assert!(text(&output.stdout).starts_with(&env.image("c/d@sha256:")), "{}", text(&output.stdout));
    assert!(env.answer(&["inspect", "--lint", &env.image("c/d:v1")]).contains("sidecar can serve"));
}

#[test]
fn the_other_examples_run() {
    let Some((push, _)) = example() else { return };
    let dir = tempfile::tempdir().unwrap();
    tiny_model().write_to(&dir.path().join("model")).unwrap();
    let run = |name: &str, arg: &str| {
        let output = Command::new(push.with_file_name(name)).arg(dir.path().join(arg)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(run("plan", "model").contains(" bytes  "));
    assert!(run("source", "image").starts_with("sha256:"));
    assert!(dir.path().join("image/index.json").exists());
}
