//! The base: the places that have the default base, what is said when none of them answers, copies, and several bases.

use modelcar_testkit::ConnectProxy;

use super::*;

/// The places of the default base, as a machine without internet asks them.
const PLACES: [&str; 3] =
    ["public.ecr.aws/docker/library/busybox", "docker.io/library/busybox", "mirror.gcr.io/library/busybox"];

impl Env {
    /// Runs on a machine whose proxy lets nobody through.
    pub(super) fn offline(&self, args: &[&str]) -> (Output, Vec<String>) {
        let proxy = ConnectProxy::start(&[], None);
        let output = self.command(args).env("https_proxy", proxy.url()).output().unwrap();
        (output, proxy.asked())
    }
}

#[test]
fn without_internet_one_error_says_which_places_were_asked_and_what_to_do() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    for args in [&["push", MODEL, &image][..], &["build", MODEL, "--output", "oci:out"]] {
        let (output, asked) = env.offline(args);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{stderr}");
        assert_eq!(asked, ["public.ecr.aws:443", "registry-1.docker.io:443", "mirror.gcr.io:443"]);
        let lines: Vec<&str> = stderr.lines().collect();
        let at =
            lines.iter().position(|line| line.starts_with("  caused by: get base `public.ecr.aws/")).expect(&stderr);
        for (line, place) in lines[at + 1..].iter().zip(PLACES) {
            assert!(line.starts_with(&format!("  caused by: `{place}`: ")) && line.contains("tunnel"), "{stderr}");
        }
        assert_eq!(stderr.matches("error: ").count() - stderr.matches(" error: ").count(), 1, "{stderr}");
        for said in ["--base-binary PATH", "--base scratch", "`modelcar base --copy-to"] {
            assert!(stderr.contains(said), "{said}: {stderr}");
        }
    }
    assert_eq!((env.registry.tags(), env.registry.open_sessions()), (vec![], vec![]));
}

#[test]
fn the_command_shows_the_base_and_what_each_place_says() {
    let env = Env::new();
    let (output, _) = env.offline(&["base"]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    for said in ["busybox:1.37.0-musl@sha256:", "no place has the base", "--base-binary PATH"] {
        assert!(stdout.contains(said), "{said}: {stdout}");
    }
    for place in PLACES {
        assert!(stdout.contains(&format!("place   {place}: ")), "{stdout}");
    }
    let (output, _) = env.offline(&["base", "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["ok"], &document["places"][2]["place"]), (&json!(false), &json!(PLACES[2])));
    assert!(document["places"].as_array().unwrap().iter().all(|place| place["reason"].is_string()));

    env.registry.add_base_image("mirror/box", "1", &["linux/amd64"]);
    let shown = env.answer(&["base", &env.image("mirror/box:1")]);
    assert!(
        shown.contains("mirror/box@sha256:") && shown.contains("linux/amd64") && !shown.contains("place"),
        "{shown}"
    );
}

#[test]
fn a_copy_has_the_digest_and_serves_as_a_base() {
    let env = Env::new();
    let source = FakeRegistry::start_blocking(RegistryConfig::default());
    let platforms = ["linux/amd64", "linux/arm64/v8", "linux/s390x"];
    let digest = source.add_base_image("box", "1", &platforms);
    let (from, to) = (format!("{}/box:1", source.host()), env.image("mirror/box"));
    let pinned = env.answer(&["base", &from, "--copy-to", &format!("{to}:1")]);
    assert_eq!(pinned, format!("{to}@{digest}"));
    assert_eq!(env.registry.tags(), [("mirror/box".to_owned(), "1".to_owned(), digest.clone())]);
    assert_eq!(env.registry.manifests().len(), 1 + platforms.len());
    env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", &pinned]);

    // Without a tag the digest is the only name, and a layout is as good as a registry.
    env.answer(&["build", MODEL, "--base", &pinned, "--output", "oci:carried"]);
    let copied = env.answer(&["base", "oci:carried", "--copy-to", &env.image("b/c"), "--format", "json"]);
    let copied: Value = serde_json::from_str(&copied).unwrap();
    assert!(env.registry.manifest("b/c", copied["digest"].as_str().unwrap()).is_some(), "{copied}");
    assert!(!env.registry.tags().iter().any(|(repository, ..)| repository == "b/c"));

    let refused = env.run(&["base", "scratch", "--copy-to", &to]);
    assert!(text(&refused.stderr).contains("name an image in a registry"), "{}", text(&refused.stderr));
}

#[test]
fn of_several_bases_the_first_that_is_there_is_used_and_the_others_are_named() {
    let env = Env::new();
    let args = |bases: &[&str]| -> Vec<String> {
        let bases = bases.iter().flat_map(|base| ["--base", base]);
        ["build", MODEL, "--output", "oci:out"].into_iter().chain(bases).map(str::to_owned).collect()
    };
    let run = |bases: &[&str]| {
        let args = args(bases);
        env.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let alone = run(&["scratch"]);
    assert_eq!(text(&alone.stderr).matches("warning").count(), 0, "{}", text(&alone.stderr));
    let second = run(&["binary:nothing-here", "scratch"]);
    let stderr = text(&second.stderr);
    assert!(stderr.contains("in place of `binary:nothing-here`") && stderr.contains("No such file"), "{stderr}");
    assert_eq!((second.status.code(), &second.stdout), (Some(0), &alone.stdout));
    let none = text(&run(&["binary:nothing-here", "oci:nor-here"]).stderr);
    assert!(none.contains("error: use base `oci:nor-here`"), "{none}");
}

#[test]
fn a_variable_names_the_base_of_those_who_name_none() {
    let env = Env::new();
    let run = |args: &[&str]| env.command(args).env("MODELCAR_BASE", "scratch").output().unwrap();
    let [named, given] = [&[][..], &["--base", "scratch"]]
        .map(|more| run(&[&["build", MODEL, "--output", "oci:out"], more].concat()).stdout);
    assert!(!named.is_empty());
    assert_eq!(named, given);
    let wrong = env.command(&["plan", MODEL]).env("MODELCAR_BASE", "oci:").output().unwrap();
    assert!(text(&wrong.stderr).contains("use MODELCAR_BASE `oci:`"), "{}", text(&wrong.stderr));
}
