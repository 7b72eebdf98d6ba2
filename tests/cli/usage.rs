//! The command line: what is refused before anything is asked, and what the helps say.

use modelcar_testkit::many_small_files;

use super::*;

/// Runs what clap or a command refuses before any request.
fn refused(env: &Env, args: &[&str], said: &[&str]) {
    let asked = env.registry.requests().len();
    env.refused(args, said);
    assert_eq!(env.registry.requests().len(), asked, "{args:?} asked the registry");
}

#[test]
fn a_digest_is_no_place_to_push_to() {
    let env = Env::new();
    let image = env.image(&format!("a/b@sha256:{}", "0".repeat(64)));
    for args in [&["push", MODEL, &image][..], &["plan", MODEL, &image], &["doctor", &image]] {
        refused(&env, args, &["its digest is computed by the push", "give a tag"]);
    }
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    let env = Env::new();
    fs::write(env.dir.path().join("plan.json"), "{}").unwrap();
    for option in [
        &["--include", "*"][..],
        &["--exclude", "*"],
        &["--all"],
        &["--base", "scratch"],
        &["--base-binary", "busybox"],
        &["--platform", "linux/amd64"],
        &["--annotation", "a=b"],
        &["--reuse-from", "localhost/a"],
        &["--no-reuse"],
        &["--no-cache"],
        &["--tag", "v1"],
        &["--username", "me", "--password-stdin"],
    ] {
        refused(&env, &[&["plan", "--check", "plan.json"], option].concat(), &["cannot be used with", option[0]]);
    }
    for option in [
        &["--reuse-from", "localhost/a"][..],
        &["--reuse-from", "localhost/a", "--copy"],
        &["--no-checkpoint"],
        &["--verify-reuse"],
        &["--no-reuse"],
        &["--no-cache"],
        &["--cache-dir", "cache"],
        &["--username", "me", "--password-stdin"],
    ] {
        refused(&env, &[&["plan", MODEL], option].concat(), &["not provided", "<IMAGE>"]);
    }
    refused(&env, &["push", MODEL, &env.image("a/b:v1"), "--copy"], &["--reuse-from"]);
}

#[test]
fn push_takes_one_name_with_a_plan_and_two_without() {
    let env = Env::new();
    let usage =
        "modelcar push [OPTIONS] <SOURCE> <IMAGE>\n       modelcar push [OPTIONS] --plan <FILE> [SOURCE] <IMAGE>";
    refused(&env, &["push"], &["<IMAGE>", usage]);
    refused(&env, &["push", MODEL], &["<SOURCE>", usage]);
    refused(&env, &["push", "--plan", "plan.json"], &["<IMAGE>", usage]);
    refused(&env, &["push", "a", "b", "c"], &["unexpected argument 'c'"]);
    env.answer(&["plan", MODEL, "--base", "scratch", "--output", "plan.json"]);
    let one = env.answer(&["push", "--plan", "plan.json", &env.image("a/b:v1")]);
    let two = env.answer(&["push", MODEL, &env.image("a/b:v2"), "--plan", "plan.json"]);
    assert_eq!(one, two);
}

#[test]
fn words_of_other_tools_lead_to_those_of_modelcar() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    for (args, said) in [
        (&["push", MODEL, &image, "--dry-run"][..], "`modelcar plan SOURCE IMAGE` shows"),
        (&["push", MODEL, "-t", &image], "REGISTRY/REPOSITORY:TAG"),
        (&["push", MODEL, &image, "--revision=v1"], "owner/name@REVISION"),
        (&["push", MODEL, &image, "--token", "x"], "HF_TOKEN"),
        (&["inspect", &image, "-o", "json"], "`--format json`"),
        (&["download", MODEL, "--local-dir", "d"], "`modelcar download SOURCE DIR`"),
        (&["pull", MODEL], "`modelcar download SOURCE DIR`"),
        (&["lint", &image], "`modelcar inspect --lint IMAGE`"),
        (&["validate", &image], "`modelcar check FILE`"),
        (&["-v", "login"], "`docker login REGISTRY`"),
        (&["pussh", MODEL, &image], "a similar subcommand exists: 'push'"),
        (&["push", MODEL, &image, "--formt", "json"], "a similar argument exists: '--format'"),
    ] {
        let output = env.run(args);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        let hints: Vec<&str> = stderr.lines().filter(|line| line.starts_with("hint: ")).collect();
        assert!(hints.len() == 1 && hints[0].contains(said), "{args:?}: {stderr}");
        assert!(!stderr.contains("tip:") && stderr.ends_with("try '--help'.\n"), "{stderr}");
    }
}

#[test]
fn a_missing_image_and_names_in_the_wrong_order_are_told() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    for source in ["./dir", MODEL] {
        let said = format!("not provided:\n  <IMAGE>\n\nhint: `{source}` is SOURCE; IMAGE comes behind it");
        refused(&env, &["push", source, "--base", "scratch"], &[&said]);
    }
    refused(&env, &["push", &image], &["not provided:\n  <SOURCE>\n"]);
    for command in ["push", "plan"] {
        refused(&env, &[command, &image, MODEL], &[&format!("SOURCE comes before IMAGE: write `{MODEL} {image}`")]);
    }
    let page = format!("https://huggingface.co/{MODEL}/tree/main");
    env.answer(&["push", &page, &image, "--base", "scratch"]);
}

#[test]
fn hashing_a_directory_is_told_unless_nothing_is_to_be() {
    let env = Env::new();
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    let plan = ["plan", "./model", "--base", "scratch", "--output", "plan.json"];
    let said = |args: &[&str]| text(&env.run(args).stderr);
    let reading = "read the headers of the weights\n";
    assert_eq!(said(&plan), format!("hashing 7 files, 196.3 KiB\n{reading}"));
    assert_eq!(said(&[&plan[..], &["--progress", "none"]].concat()), "");
    assert_eq!(said(&["plan", "--check", "plan.json"]), "hashing 7 files, 196.3 KiB\n");
    assert_eq!(said(&plan[..4]), reading, "without a lock file nothing is hashed");
}

#[test]
fn sizes_and_names_that_make_no_sense_are_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let env = Env::new();
    let push = |option: &str, value: &str, said: &str| {
        refused(&env, &["push", MODEL, &env.image("a/b:v1"), option, value], &[option, value, said]);
    };
    push("--read-ahead", "foo", "expected a size such as 64MiB");
    push("--read-ahead", "0", "expected at least 1.0 MiB");
    push("--chunk-size", "99999999999999999999GiB", "at most 1.0 TiB");
    refused(
        &env,
        &["push", MODEL, "ghcr.io/name:v1", "--base", "scratch"],
        &["hint: ", "shape: ghcr.io/OWNER/IMAGE:TAG"],
    );

    let output = env.command(&["plan"]).arg(OsStr::from_bytes(b"mod\xffel")).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("mod\u{fffd}el") && stderr.contains("[SOURCE]") && stderr.contains("UTF-8"), "{stderr}");

    let model = env.dir.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("a\nhint: run \u{1b}[31mrm -rf"), "").unwrap();
    let stderr = text(&env.run(&["plan", "./model", "--base", "scratch"]).stderr);
    assert!(stderr.contains("can't be packed") && !stderr.contains('\u{1b}'), "{stderr:?}");
    assert!(!stderr.lines().any(|line| line.starts_with("hint: run")), "{stderr:?}");
}

/// The system gives few files to a process that runs in a small container or below another one.
#[test]
fn too_few_open_files_are_told_as_such() {
    let env = Env::new();
    env.hub.add_repo("acme/many", "main", many_small_files(40, 1000));
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    let image = env.image("few/files:v1");
    let commands: [&[&str]; 4] = [
        &["push", "./model", &image, "--base", "scratch"],
        &["push", "acme/many", &image, "--base", "scratch", "--jobs", "8", "--connections", "64"],
        &["download", "acme/many", "./down", "--jobs", "8", "--connections", "64"],
        &["build", "./model", "--base", "scratch", "--output", "oci:out"],
    ];
    let (mut succeeded, mut refused) = (0, 0);
    for limit in ["5", "9", "12", "16", "20", "32", "64"] {
        for command in commands {
            let run = env.command(command);
            let mut limited = Command::new("sh");
            limited.arg("-c").arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\"")).arg(run.get_program());
            limited.args(command).current_dir(env.dir.path()).stdin(Stdio::null()).env_clear();
            limited.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let output = limited.output().unwrap();
            let stderr = text(&output.stderr);
            assert!(!stderr.contains("panicked"), "{limit} {command:?}: {stderr}");
            if output.status.success() {
                succeeded += 1;
                continue;
            }
            refused += 1;
            assert_eq!(output.status.code(), Some(2), "{limit} {command:?}: {stderr}");
            let hint = format!("this process may have {limit} files and connections open at once");
            assert!(stderr.contains(&hint) && stderr.contains("`ulimit -n 1024`"), "{limit} {command:?}: {stderr}");
        }
    }
    assert!(refused >= commands.len() && succeeded >= commands.len(), "{refused} refused, {succeeded} succeeded");
}
