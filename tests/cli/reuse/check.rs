//! The lock file, checked.

use super::*;

fn checked(env: &Env, file: &str) -> (i32, String) {
    let output = env.run(&["plan", "--check", file]);
    (output.status.code().unwrap(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

#[test]
fn a_lock_file_says_what_has_moved() {
    let env = Env::new();
    let base = env.image("base/tools:v1");
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64", "linux/arm64"]);
    env.answer(&["plan", MODEL, "--base", &base, "--output", "plan.json"]);
    assert_eq!(checked(&env, "plan.json").0, 0, "{}", checked(&env, "plan.json").1);
    let first = env.answer(&["push", &env.image("a/b:v1"), "--plan", "plan.json"]);

    let (tools, digest) = (env.image("base/tools"), env.registry.manifest("base/tools", "v1").unwrap().digest);
    env.answer(&["plan", MODEL, "--base", &format!("{tools}@{digest}"), "--output", "pinned.json"]);
    assert_eq!(
        checked(&env, "pinned.json").0,
        0,
        "a base that was given by digest: {}",
        checked(&env, "pinned.json").1
    );

    let changed = tiny_model().file("config.json", "{}").file("new.json", "{}").without("tokenizer.json");
    let commit = env.hub.add_repo(MODEL, "main", changed);
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64"]);
    assert!(!checked(&env, "pinned.json").1.contains("base `"), "a pinned base does not move");
    let (status, said) = checked(&env, "plan.json");
    assert_eq!(status, 1, "{said}");
    for part in [
        &*commit,
        "`main` has moved",
        "`config.json` has 2 bytes",
        "`new.json` is new",
        "`tokenizer.json` is gone",
        "base `",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let again = env.answer(&["push", &env.image("a/c:v1"), "--plan", "plan.json"]);
    assert_eq!(again.split_once('@').unwrap().1, first.split_once('@').unwrap().1, "the pinned commit is still there");

    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    env.answer(&["plan", "./model", "--base", "scratch", "--output", "dir.json"]);
    assert_eq!(checked(&env, "dir.json").0, 0);
    let config = env.dir.path().join("model/config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap().replacen("128", "129", 1)).unwrap();
    let (status, said) = checked(&env, "dir.json");
    assert_eq!((status, said.contains("`config.json` has other content")), (1, true), "{said}");
}
