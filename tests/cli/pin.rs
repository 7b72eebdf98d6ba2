//! `pin`, and `push --pin`: files, exit statuses and what stays when something fails. What is changed inside a file is
//! tested in `tests/pin`.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

use modelcar_testkit::Auth;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const TAGGED: &str = "# the model\r\nspec:\n  predictor:\n    model: {storageUri: \"oci://r.io/m/qwen:v1\"}  # v1\n";

fn image() -> String {
    format!("r.io/m/qwen@{DIGEST}")
}

fn pinned() -> String {
    TAGGED.replace(":v1", &format!("@{DIGEST}"))
}

impl Env {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Returns the names of all files in the folder of the run, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Has the registry ask for a login, which a helper gives that runs `script` first: something that happens after a
    /// push has checked its files, and before it ends.
    fn log_in_by(&mut self, script: &str) {
        self.registry =
            FakeRegistry::start_blocking(RegistryConfig { auth: Auth::basic("u", "p"), ..RegistryConfig::default() });
        let helper = self.write(
            "docker-credential-test",
            &format!("#!/bin/sh\n{script}\necho '{{\"Username\":\"u\",\"Secret\":\"p\"}}'\n"),
        );
        fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).unwrap();
        self.write(".docker/config.json", r#"{"credsStore":"test"}"#);
    }

    /// Runs `pin` and returns status, stdout and stderr.
    fn pin(&self, args: &[&str]) -> (i32, String, String) {
        let image = image();
        let output = self.run(&[&["pin", &image], args].concat());
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn pin_writes_the_digest_and_says_where() {
    let env = Env::new();
    env.write("a.yaml", TAGGED);
    let place = "a.yaml:4: spec.predictor.model.storageUri";
    let (status, stdout, stderr) = env.pin(&["a.yaml"]);
    let change = format!("{place}: oci://r.io/m/qwen:v1 -> oci://{}\n", image());
    assert_eq!((status, stdout, stderr), (0, change, String::new()));
    assert_eq!(env.read("a.yaml"), pinned());
    assert_eq!(env.names(), ["a.yaml"]);
    let modified = fs::metadata(env.dir.path().join("a.yaml")).unwrap().ino();
    let (status, stdout, _) = env.pin(&["a.yaml"]);
    assert_eq!((status, stdout), (0, format!("{place}: oci://{} is pinned already\n", image())));
    assert_eq!(fs::metadata(env.dir.path().join("a.yaml")).unwrap().ino(), modified, "it was written again");
    env.write("b.yaml", TAGGED);
    assert_eq!(env.answer(&["pin", &format!("oci://r.io/m/qwen:v2@{DIGEST}"), "b.yaml"]).lines().count(), 1);
    assert_eq!(env.read("b.yaml"), pinned());
}

#[test]
fn check_changes_nothing_and_has_three_answers() {
    let env = Env::new();
    env.write("tagged.yaml", TAGGED);
    env.write("pinned.yaml", &pinned());
    env.write("old.yaml", &pinned().replace("sha256:e3b0", "sha256:0000"));
    env.write("other.yaml", "storageUri: oci://r.io/m/other:v1\n");
    let (status, stdout, stderr) = env.pin(&["--check", "tagged.yaml", "pinned.yaml", "old.yaml"]);
    let files: Vec<_> = stdout.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!((status, files.as_slice(), stderr.as_str()), (1, ["tagged.yaml", "old.yaml"].as_slice(), ""));
    assert_eq!(env.pin(&["--check", "pinned.yaml"]), (0, "pinned: 1 reference in 1 file\n".to_owned(), String::new()));
    let (status, stdout, stderr) = env.pin(&["--check", "other.yaml"]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.contains("no reference to `r.io/m/qwen` is in `other.yaml`"), "{stderr}");
    assert!(stderr.contains("--path") && stderr.contains("--repository"), "{stderr}");
    let (status, _, stderr) = env.pin(&["--check", "pinned.yaml", "other.yaml"]);
    assert_eq!((status, stderr.as_str()), (0, "warning: `other.yaml` has no reference to `r.io/m/qwen`\n"));
    assert_eq!((env.read("tagged.yaml").as_str(), env.read("pinned.yaml")), (TAGGED, pinned()));
}

#[test]
fn a_dry_run_is_a_diff_that_patch_takes() {
    let env = Env::new();
    // An empty line near the change is a space in the diff, and the last line of the file has no end.
    env.write("sub/a.yaml", &format!("{TAGGED}\nb: 1\n\n"));
    env.write("c.yaml", "storageUri: oci://r.io/m/qwen:v1");
    let (status, diff, stderr) = env.pin(&["--dry-run", "./sub/a.yaml", "c.yaml"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let changed = |sign: char| diff.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((changed('-'), changed('+')), (4, 4), "{diff}");
    assert!(
        diff.starts_with("--- a/sub/a.yaml\n+++ b/sub/a.yaml\n@@ ") && diff.contains("No newline at end"),
        "{diff}"
    );
    assert!(env.read("sub/a.yaml").contains("qwen:v1"));
    env.write("pin.diff", &diff);
    let Ok(patched) = Command::new("patch").args(["--binary", "-p1", "-i", "pin.diff"]).current_dir(&env.dir).output()
    else {
        println!("skipped: patch is not installed");
        return;
    };
    assert!(patched.status.success(), "{}\n{diff}", text(&patched.stdout));
    assert_eq!(env.read("sub/a.yaml"), format!("{}\nb: 1\n\n", pinned()));
    assert_eq!(env.read("c.yaml"), format!("storageUri: oci://{}", image()));
    let (status, stdout, _) = env.pin(&["--dry-run", "c.yaml"]);
    assert!(status == 0 && stdout.contains("is pinned already"), "{stdout}");
}

#[test]
fn a_file_keeps_its_mode_and_its_links() {
    let env = Env::new();
    let real = env.write("real/a.yaml", TAGGED);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o751)).unwrap();
    symlink("real/a.yaml", env.dir.path().join("link.yaml")).unwrap();
    symlink("link.yaml", env.dir.path().join("again.yaml")).unwrap();
    let (status, stdout, stderr) = env.pin(&["again.yaml", "real/a.yaml", "./link.yaml"]);
    assert_eq!((status, stdout.lines().count(), stderr.as_str()), (0, 1, ""), "{stdout}");
    assert_eq!(fs::read_link(env.dir.path().join("again.yaml")).unwrap(), PathBuf::from("link.yaml"));
    let metadata = fs::symlink_metadata(&real).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.is_file()), (0o751, true));
    assert_eq!(env.read("real/a.yaml"), pinned());
    assert_eq!(fs::read_dir(env.dir.path().join("real")).unwrap().count(), 1);
}

#[test]
fn one_bad_file_among_several_changes_none() {
    let env = Env::new();
    env.write("good.yaml", TAGGED);
    let read_only = env.write("read-only.yaml", TAGGED);
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o444)).unwrap();
    env.write("folder/a.yaml", TAGGED);
    env.write("broken.yaml", "a: b: c\n");
    env.write("template.yaml", "{{ if }}\nstorageUri: oci://r.io/m/qwen:{{ .Values.tag }}\n");
    env.write("unfinished.yaml", "{{ if }\na: [\n");
    env.write("other-values.yaml", "image: {repository: acme/other, tag: v1, list: []}\n");
    fs::write(env.dir.path().join("latin1.yaml"), b"# \xe9\nstorageUri: oci://r.io/m/qwen:v1\n").unwrap();
    let huge = fs::File::create(env.dir.path().join("huge.yaml")).unwrap();
    huge.set_len((16 << 20) + 1).unwrap();
    for (args, said) in [
        (&["read-only.yaml"][..], &["pin `read-only.yaml`", "read-only", "chmod u+w read-only.yaml"][..]),
        (&["folder"], &["pin `folder`", "not a regular file", "folder/*.yaml"]),
        (&["nothing.yaml"], &["pin `nothing.yaml`", "check the path"]),
        (&["/dev/zero"], &["not a regular file"]),
        (&["-"], &["stdin can't be pinned", "name files"]),
        (&["broken.yaml"], &["pin `broken.yaml`", "line 1, column"]),
        (&["template.yaml"], &["line 2, `storageUri`", "filled in by a template", "values.yaml --path"]),
        (&["unfinished.yaml"], &["is a template", "values.yaml --path"]),
        (&["latin1.yaml"], &["not a text in UTF-8"]),
        (&["huge.yaml"], &["more than 16777216 bytes", "split the file"]),
        (&["other-values.yaml", "--path", "image.tag"], &["another repository, `acme/other`", "--repository"]),
        (&["other-values.yaml", "--path", "image.list"], &["`image.list` is not a text"]),
        (&["other-values.yaml", "--path", "image..tag"], &["is not a path"]),
    ] {
        let (status, stdout, stderr) = env.pin(&[&["good.yaml"], args].concat());
        assert_eq!((status, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        for part in said {
            assert!(stderr.contains(part), "{args:?} does not say {part:?}:\n{stderr}");
        }
        assert_eq!(env.read("good.yaml"), TAGGED, "{args:?}");
        assert!(!env.names().iter().any(|name| name.starts_with('.')), "{:?}", env.names());
    }
    let (status, ..) = env.pin(&["good.yaml"]);
    assert_eq!((status, env.read("good.yaml")), (0, pinned()));
}

#[test]
fn an_image_has_to_have_a_digest() {
    let env = Env::new();
    env.write("a.yaml", TAGGED);
    for image in ["r.io/m/qwen:v1", "oci://r.io/m/qwen"] {
        env.refused(&["pin", image, "a.yaml"], &["has no digest", "modelcar push", "modelcar inspect IMAGE"]);
    }
    env.refused(&["pin", "qwen", "a.yaml"], &["not an image reference"]);
    assert_eq!(env.read("a.yaml"), TAGGED);
}

#[test]
fn helm_values_are_pinned_by_a_path() {
    let env = Env::new();
    env.write("values.yaml", "image: # the model\n  repository: r.io/m/qwen\n  tag: 'v1'\n  digest: \"\"\n");
    let paths = ["--path", "image.tag", "--path", "image.digest", "--path", "image.none"];
    let (status, stdout, stderr) = env.pin(&[&["values.yaml"], &paths[..]].concat());
    assert_eq!((status, stdout.lines().count()), (0, 2), "{stdout}{stderr}");
    let expected =
        format!("image: # the model\n  repository: r.io/m/qwen\n  tag: 'v1@{DIGEST}'\n  digest: \"{DIGEST}\"\n");
    assert_eq!(env.read("values.yaml"), expected);
    env.write("moved.yaml", "storageUri: oci://old.io/q:v1\n");
    let (status, ..) = env.pin(&["moved.yaml", "--repository", "old.io/q"]);
    assert_eq!((status, env.read("moved.yaml")), (0, format!("storageUri: oci://{}\n", image())));
}

#[test]
fn a_push_pins_what_it_has_pushed() {
    let env = Env::new();
    let tagged = env.image("a/m:v1");
    let manifest = format!("storageUri: oci+native://{tagged} # tag\n");
    env.write("a.yaml", &manifest);
    env.write("b.yaml", &manifest);
    let pinned = env.answer(&["push", MODEL, &tagged, "--base", "scratch", "--pin", "a.yaml", "--pin", "b.yaml"]);
    for name in ["a.yaml", "b.yaml"] {
        assert_eq!(env.read(name), format!("storageUri: oci+native://{pinned} # tag\n"));
    }
}

#[test]
fn a_push_that_can_not_pin_uploads_nothing() {
    let env = Env::new();
    let tagged = env.image("a/m:v1");
    let manifest = format!("storageUri: oci://{tagged}\n");
    env.write("good.yaml", &manifest);
    env.write("other.yaml", TAGGED);
    let read_only = env.write("read-only.yaml", &manifest);
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o444)).unwrap();
    for (name, said) in
        [("other.yaml", "no reference to `"), ("read-only.yaml", "read-only"), ("none", "check the path")]
    {
        let args = ["push", MODEL, &tagged, "--base", "scratch", "--pin", "good.yaml", "--pin", name];
        env.refused(&args, &[said]);
        assert_eq!(env.registry.requests().len(), 0, "{name}");
        assert_eq!(env.read("good.yaml"), manifest);
    }
}

#[test]
fn a_pin_that_fails_after_the_push_leaves_the_answer() {
    let mut env = Env::new();
    env.log_in_by("echo 'storageUri: s3://elsewhere' >a.yaml");
    let tagged = env.image("a/m:v1");
    env.write("a.yaml", &format!("storageUri: oci://{tagged}\n"));
    let path = format!("{}:/usr/bin:/bin", env.dir.path().display());
    let mut push = env.command(&["push", MODEL, &tagged, "--base", "scratch", "--pin", "a.yaml"]);
    let output = push.env("PATH", path).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let answer = stdout.strip_suffix('\n').unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(answer.starts_with(&format!("{}@sha256:", env.image("a/m"))), "{answer}");
    assert!(stderr.contains("error: no reference to") && stderr.contains("is in `a.yaml`"), "{stderr}");
    assert!(stderr.contains(&format!("the image is pushed; pin it: `modelcar pin {answer} a.yaml`")), "{stderr}");
    assert_eq!(env.registry.tags().len(), 1);
    assert_eq!(env.read("a.yaml"), "storageUri: s3://elsewhere\n");
}

#[test]
fn a_manifest_is_not_the_file_of_the_digest() {
    let env = Env::new();
    let tagged = env.image("a/m:v1");
    let manifest = format!("storageUri: oci://{tagged}\n");
    let path = env.write("a.yaml", &manifest);
    symlink(&path, env.dir.path().join("link.yaml")).unwrap();
    fs::hard_link(&path, env.dir.path().join("hard.yaml")).unwrap();
    for file in ["a.yaml", "./a.yaml", "link.yaml", "hard.yaml"] {
        let args = ["push", MODEL, &tagged, "--base", "scratch", "--pin", "a.yaml", "--digest-file", file];
        env.refused(&args, &["--digest-file and --pin name the same file", "hint: name another file"]);
        assert_eq!(env.read("a.yaml"), manifest);
    }
}
