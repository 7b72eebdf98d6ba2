//! What people see, to be read by people. A change is looked at, then taken with `cargo insta accept`.

use super::*;

/// Masks what differs between two runs: the ports of Hub and registry.
fn same(env: &Env, shown: &str) -> String {
    shown.replace(&env.registry.host(), "REGISTRY").replace(&env.hub.endpoint(), "HUB")
}

fn check(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

#[test]
fn plan_is_a_table() {
    let env = Env::new();
    let tree = tiny_model().file("pytorch_model.bin", vec![7; 200_000]).file(".gitattributes", "");
    env.hub.add_repo(MODEL, "main", tree);
    check("plan", &same(&env, &env.answer(&["plan", MODEL, "--base", "scratch"])));
    env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    let again = env.answer(&["plan", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    check("plan_image_published", &same(&env, &again));
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("config.json", "{}"));
    let one = env.answer(&["plan", "acme/one", &env.image("a/one:v1"), "--base", "scratch"]);
    check("plan_image", &same(&env, &one));
}

#[test]
fn inspect_is_a_table() {
    let env = Env::new();
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64", "linux/arm64"]);
    let base = env.image("base/tools:v1");
    env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", &base]);
    // The base's name, with the registry's port in it, is part of what the digests are of.
    let digests = |shown: &str| {
        let mut parts = shown.split("sha256:");
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |all, part| all + "sha256:…" + &part[64..])
    };
    let shown = |args: &[&str]| digests(&same(&env, &text(&env.run(args).stdout)));
    check("inspect", &shown(&["inspect", &env.image("a/b:v1")]));
    check("inspect_lint", &shown(&["inspect", "--lint", &env.image("a/b:v1")]));
}

#[test]
fn every_command_has_its_helps() {
    let env = Env::new();
    let commands =
        ["", "plan", "push", "build", "download", "inspect", "base", "doctor", "render", "pin", "check", "completions"];
    for command in commands {
        let own = (!command.is_empty()).then_some(command);
        for (option, name) in [("-h", "short"), ("--help", "long")] {
            let args: Vec<&str> = own.into_iter().chain([option]).collect();
            let name = format!("help_{}{name}", own.map_or(String::new(), |own| format!("{own}_")));
            check(&name, &env.answer(&args));
        }
    }
}
