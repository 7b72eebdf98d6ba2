//! What failures advise: it has to fit the command and the thing that failed.

use modelcar_testkit::ConnectProxy;

use super::*;

impl Env {
    /// Runs what must fail with advice in which each of `said` stands, and none of `unsaid`.
    fn advises(&self, args: &[&str], said: &[&str], unsaid: &[&str]) {
        let stderr = self.refused(args, said);
        assert!(stderr.contains("\nhint: "), "{args:?}: {stderr}");
        for part in unsaid {
            assert!(!stderr.contains(part), "{args:?} says {part:?}:\n{stderr}");
        }
    }
}

const OF_A_PUSH: [&str; 3] = ["--base", "output", "created"];

#[test]
fn an_image_that_is_read_is_neither_base_nor_output() {
    let env = Env::new();
    let missing = env.image("a/missing:v1");
    let pinned = env.image(&format!("a/missing@sha256:{}", "0".repeat(64)));
    // Nothing listens on port 1.
    for args in [&["inspect", "127.0.0.1:1/x"][..], &["inspect", "--lint", "127.0.0.1:1/x"]] {
        env.advises(args, &["the registry of the image did not respond or failed: check host name"], &OF_A_PUSH);
    }
    for args in [&["inspect", &missing][..], &["inspect", "--lint", &missing], &["render", &pinned]] {
        let at = if args.contains(&&*pinned) { "a/missing@sha256:000" } else { "a/missing:v1" };
        env.advises(args, &[at, "check the name, tag or path of the image"], &OF_A_PUSH);
    }
    for args in [&["inspect", "oci:nope"][..], &["inspect", "--lint", "oci:nope"]] {
        env.advises(args, &["nope", "check the name, tag or path of the image"], &OF_A_PUSH);
    }
}

#[test]
fn an_image_is_no_source_and_the_hint_says_what_moves_images() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    env.answer(&["build", MODEL, "--base", "scratch", "--output", "oci:built"]);
    let copy = "skopeo copy --all --preserve-digests oci:";
    for source in ["built", "./built", "oci:built", "oci:./built"] {
        env.advises(
            &["push", source, &image, "--base", "scratch"],
            &["is an image, not a model", copy],
            &["owner/name"],
        );
    }
    let export = ["is an image, not a model", "crane export"];
    env.advises(&["download", &image, "out"], &export, &["owner/name"]);
    env.advises(&["download", "Qwen2.5", "out"], &["a model is written owner/name"], &["crane"]);
}

#[test]
fn a_digest_file_is_emptied_by_a_push_that_fails_at_once() {
    let env = Env::new();
    let file = env.dir.path().join("digest");
    for args in [&["./none", "--base", "oci:"][..], &["Qwen2.5"], &[MODEL, "--pin", "none.yaml"]] {
        fs::write(&file, "sha256:old").unwrap();
        let image = env.image("a/b:v1");
        let args = [&["push", args[0], &image, "--digest-file", "digest"][..], &args[1..]].concat();
        env.refused(&args, &["error: "]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "", "{args:?}");
    }
}

#[test]
fn a_page_that_refuses_an_upload_is_a_firewall_and_not_a_missing_right() {
    let env = Env::new();
    let page = RegistryAction::Status {
        code: 403,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: "<html>Request blocked</html>".to_owned(),
    };
    env.registry.fault(FaultRule::new("/blobs/uploads/", page).method("PATCH"));
    let args = ["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"];
    env.advises(&args, &["status 403", "web application firewall", "PATCH"], &["lacks permission"]);
}

#[test]
fn a_registry_of_plain_http_on_another_host_wants_a_flag() {
    let env = Env::new();
    // A name that is not of this machine leads to the fake registry, which speaks no TLS.
    let proxy = ConnectProxy::start(&[("registry.test:5000", env.registry.host().parse().unwrap())], None);
    let run = |args: &[&str]| env.command(args).env("https_proxy", proxy.url()).output().unwrap();
    let image = "registry.test:5000/a/b:v1";
    for args in [&["push", MODEL, image, "--base", "scratch"][..], &["inspect", image]] {
        let output = run(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("hint: the server does not speak TLS") && stderr.contains("--plain-http"), "{stderr}");
        assert!(!stderr.contains("run again"), "{stderr}");
    }
    let shown = text(&run(&["doctor", image]).stdout);
    assert!(shown.contains("--plain-http") && !shown.contains("authority"), "{shown}");

    let mut plan = env.command(&["plan", MODEL, "--base", "scratch"]);
    let output =
        plan.env("HF_ENDPOINT", "https://registry.test:5000").env("https_proxy", proxy.url()).output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("write http:// in HF_ENDPOINT"), "{stderr}");
}

#[test]
fn a_source_that_can_not_be_read_says_why() {
    let env = Env::new();
    let model = env.dir.path().join("model");
    tiny_model().write_to(&model).unwrap();
    let moving = ["moving", "link"];
    env.advises(&["plan", "./model/config.json"], &["config.json` is not a directory", "name the folder"], &moving);
    std::os::unix::fs::symlink("../gone", model.join("tokenizer.model")).unwrap();
    env.advises(
        &["plan", "./model", "--base", "scratch"],
        &["tokenizer.model` is a link to `../gone`, which is not there", "remove the link"],
        &["created"],
    );
    for (endpoint, said) in [("foo", "`foo` is not a URL"), ("ftp://hub.test", "`ftp://hub.test/` is not one of a Hub")]
    {
        let output = env.command(&["plan", MODEL, "--base", "scratch"]).env("HF_ENDPOINT", endpoint).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("the Hub's address {said}")), "{stderr}");
        assert!(stderr.contains("hint: HF_ENDPOINT sets the Hub") && !stderr.contains("links"), "{stderr}");
    }
}

#[test]
fn a_source_of_which_nothing_is_left_is_named_with_the_reasons() {
    let env = Env::new();
    fs::create_dir(env.dir.path().join("empty")).unwrap();
    let plan = |source: &str, more: &[&str], said: &[&str]| {
        env.advises(&[&["plan", source, "--base", "scratch"], more].concat(), said, &["shows the reason"]);
    };
    plan("./empty", &[], &["plan `./empty`", "the source is empty", "name a folder or a model that holds files"]);
    plan(
        MODEL,
        &["--exclude", "*"],
        &[
            "plan `acme/tiny@",
            "were left out",
            "`config.json` matches an exclude pattern",
            "and ",
            " more; see --include",
        ],
    );
}

#[test]
fn a_lock_file_that_does_not_fit_is_named() {
    let env = Env::new();
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    tiny_model().without("config.json").write_to(&env.dir.path().join("other")).unwrap();
    env.answer(&["plan", "./model", "--base", "scratch", "--output", "plan.json"]);
    fs::write(env.dir.path().join("broken.json"), "{").unwrap();
    let image = env.image("a/b:v1");
    env.advises(&["push", &image, "--plan", "broken.json"], &["lock file `broken.json`", "write it again"], &[]);
    env.advises(&["plan", "--check", "broken.json"], &["lock file `broken.json`"], &[]);
    env.advises(
        &["push", "./other", &image, "--plan", "plan.json"],
        &[
            "`./other` is not what the lock file pins: file `config.json` is not there",
            "a lock file is replayed with the files that it names",
        ],
        &["created"],
    );
}

#[test]
fn a_file_that_is_too_large_is_not_read_and_its_limit_is_named() {
    let env = Env::new();
    for (name, bytes) in [("plan.json", 17 << 20), ("pods.json", 65 << 20)] {
        fs::File::create(env.dir.path().join(name)).unwrap().set_len(bytes).unwrap();
    }
    let limit = |bytes: u64| format!("it has more than {bytes} bytes");
    let image = env.image("a/b:v1");
    for command in [&["plan", "--check", "plan.json"][..], &["push", &image, "--plan", "plan.json"]] {
        env.advises(
            command,
            &["read lock file `plan.json`", &limit(16 << 20), "lock file of an image is smaller"],
            &[],
        );
    }
    env.refused(&["check", "pods.json"], &["read `pods.json`", &limit(64 << 20)]);
}

#[test]
fn a_manifest_that_a_proxy_refuses_as_too_large_is_told_as_such() {
    let env = Env::new();
    env.registry.fault(FaultRule::new("/manifests/", RegistryAction::status(413)).method("PUT"));
    env.advises(
        &["push", MODEL, &env.image("a/b:v1"), "--base", "scratch", "--no-checkpoint"],
        &["put manifest", "raise the cap, or push fewer files"],
        &["--chunk-size"],
    );
}

#[test]
fn a_base_that_is_none_says_what_one_is() {
    let env = Env::new();
    tiny_model().write_to(&env.dir.path().join("model")).unwrap();
    env.answer(&["build", "./model", "--base", "scratch", "--output", "oci:lay"]);
    env.answer(&["build", "./model", "--base", "scratch", "--output", "oci-archive:lay.tar"]);
    let forms = "a base is REGISTRY/REPOSITORY:TAG, oci:DIR[:NAME], binary:PATH";
    for (base, said) in [
        ("nope", forms),
        ("./lay", "an image layout is written oci:./lay"),
        ("lay", "an image layout is written oci:lay"),
        ("oci-archive:lay.tar", "archives can't be read: unpack the archive"),
        ("./lay.tar", "archives can't be read: unpack the archive"),
    ] {
        env.advises(
            &["plan", "./model", "--base", base],
            &[&format!("use --base `{base}`"), forms, said],
            &["created"],
        );
        if base != "nope" {
            env.advises(&["inspect", base], &[said], &[]);
        }
    }
    let missing = env.image("no/base:v1");
    env.advises(&["plan", "./model", "--base", &missing], &["no/base", "check the name, tag or path of the base"], &[]);
    // The way out is closed, as for a first try without a network.
    let mut plan = env.command(&["plan", "./model"]);
    let stderr = text(&plan.env("https_proxy", "http://127.0.0.1:1").output().unwrap().stderr);
    for said in ["use the default base `public.ecr.aws/", "--base scratch", "--base-binary PATH"] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}

#[test]
fn a_refusal_advises_by_who_refused() {
    use modelcar_testkit::HubAction;
    let env = Env::new();
    let weights = "model-00001-of-00002.safetensors";
    let fault = |action: HubAction| {
        env.hub.clear_faults();
        env.hub.fault(FaultRule::new(weights, action).server("cdn"));
    };
    let page = |code| HubAction::Status {
        code,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: "<html>Blocked</html>".to_owned(),
    };
    let host = env.hub.cdn_endpoint().replace("http://", "");
    let plan = ["plan", "hf://acme/tiny", "--base", "scratch"];
    for code in [200, 403] {
        fault(page(code));
        let said = [weights, &format!("the store at {host}"), "have the firewall or proxy let"];
        env.advises(&plan, &said, &["HF_TOKEN", "login", "account lacks"]);
    }
    env.hub.clear_faults();
    let listing = json!([{"type": "file", "path": "w.bin", "size": 3}]);
    env.hub.fault(FaultRule::new("/tree/", HubAction::ListingOverride(listing)));
    env.advises(&plan, &["the mirror at 127.0.0.1:", "`w.bin` without the hash", "unset HF_ENDPOINT"], &["run again"]);
}

#[test]
fn an_entry_that_can_not_be_packed_is_left_out_by_name() {
    let env = Env::new();
    env.hub.add_repo("acme/odd", "main", tiny_model().file("images\\loss.png", "x"));
    let plan = ["plan", "hf://acme/odd", "--base", "scratch"];
    env.advises(&plan, &["images\\\\loss.png", "--exclude 'images?loss.png'"], &[]);
    env.answer(&[&plan[..], &["--exclude", "images?loss.png"]].concat());
    env.answer(&[&plan[..], &["--include", "*.safetensors"]].concat());
    let model = env.dir.path().join("odd");
    tiny_model().write_to(&model).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", model.join("host")).unwrap();
    env.advises(&["plan", "./odd", "--base", "scratch"], &["odd/host", "--exclude"], &[]);
    env.answer(&["plan", "./odd", "--base", "scratch", "--exclude", "host"]);
}

#[test]
fn a_token_file_that_can_not_be_read_is_named_when_a_token_is_needed() {
    let env = Env::new();
    let plan = |model: &str| {
        let mut command = env.command(&["plan", model, "--base", "scratch"]);
        command.env("HF_TOKEN", " \n").env("HF_TOKEN_PATH", env.dir.path()).output().unwrap()
    };
    assert!(plan("hf://acme/tiny").status.success());
    let stderr = text(&plan("hf://acme/nope").stderr);
    assert!(stderr.contains("can't be read") && stderr.contains("make the token's file readable"), "{stderr}");
}

#[test]
fn a_manifest_that_is_too_large_has_no_chunks() {
    let env = Env::new();
    env.registry.fault(FaultRule::new("/manifests/", RegistryAction::status(413)).method("PUT"));
    let stderr = text(&env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]).stderr);
    assert!(stderr.contains("hint: ") && stderr.contains("client_max_body_size"), "{stderr}");
    assert!(!stderr.contains("--chunk-size"), "{stderr}");
}

#[test]
fn a_packed_file_with_secrets_is_warned_of() {
    let env = Env::new();
    let model = env.dir.path().join("model");
    tiny_model().file("app/.env", "HF_TOKEN=secret").file(".env.example", "HF_TOKEN=").write_to(&model).unwrap();
    let image = env.image("a/b:v1");
    for command in ["plan", "push"] {
        let warnings = |more: &[&str]| {
            let output = env.run(&[&[command, "./model", &image, "--base", "scratch"], more].concat());
            let stderr = text(&output.stderr);
            assert!(output.status.success(), "{stderr}");
            stderr
                .lines()
                .filter(|line| line.contains("usually holds a password"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let warned = warnings(&[]);
        assert!(warned.len() == 1 && warned[0].contains("--exclude 'app/.env'"), "{warned:?}");
        assert_eq!(warnings(&["--exclude", "app/.env"]), [""; 0]);
    }
}

#[test]
fn a_file_that_is_not_there_has_a_hint() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    fs::create_dir(env.dir.path().join("folder")).unwrap();
    let scratch = ["--base", "scratch"];
    let plan = [&["plan", MODEL][..], &scratch].concat();
    let push = [&["push", MODEL, &image][..], &scratch].concat();
    let cases: [(Vec<&str>, &str); 12] = [
        (vec!["check", "qwen"], "or `-` for stdin: kubectl get pod NAME -o json | modelcar check -"),
        (vec!["check", "folder"], "name a file, not a folder"),
        (
            vec!["push", &image, "--plan", "none.json"],
            "write the lock file first: `modelcar plan SOURCE --output FILE`",
        ),
        (vec!["plan", "--check", "none.json"], "write the lock file first"),
        (vec!["plan", "--check", "folder"], "name a "),
        ([&plan[..], &["--output", "none/plan.json"]].concat(), "the folder of the file is not there: make it first"),
        ([&plan[..], &["--output", "folder"]].concat(), "name a file, not a folder"),
        ([&push[..], &["--digest-file", "none/digest"]].concat(), "the folder of the file is not there"),
        ([&push[..], &["--ca-file", "none.pem"]].concat(), "check the path: --ca-file names a file"),
        (vec!["render", &image, "--resolve", "--template", "none"], "check the path in --template"),
        (vec!["inspect", "oci:folder"], "name the folder of an image layout: `modelcar build"),
        (vec!["plan", MODEL, "--base", "oci:folder"], "name the folder of an image layout: `modelcar build"),
    ];
    fs::write(env.dir.path().join("folder/file"), "").unwrap();
    for (args, said) in cases {
        env.advises(&args, &[said], &[]);
    }
    let output = ["build", MODEL, "--base", "scratch", "--output"];
    env.advises(&[&output[..], &["oci:folder"]].concat(), &["name a new folder, an empty one"], &[]);
    env.advises(&[&output[..], &["oci-archive:folder"]].concat(), &["name a new file"], &[]);
    env.advises(&["plan", MODEL, "--base", "binary:folder/file"], &["name a static busybox"], &[]);
}

#[test]
fn what_docker_takes_for_an_image_on_its_registry_is_named_in_full() {
    let env = Env::new();
    let said = "on Docker Hub the image is docker.io/me/qwen:v1";
    for args in [&["push", MODEL, "me/qwen:v1"][..], &["doctor", "me/qwen:v1"], &["inspect", "me/qwen:v1"]] {
        env.advises(args, &[said], &[]);
    }
    env.advises(&["push", MODEL, "./dir"], &["an image is written"], &["Docker Hub"]);
}

#[test]
fn a_mirror_that_is_down_is_named_by_its_variable() {
    let env = Env::new();
    let mut plan = env.command(&["plan", "hf://acme/tiny", "--base", "scratch"]);
    let stderr = text(&plan.env("HF_ENDPOINT", "http://127.0.0.1:1").output().unwrap().stderr);
    assert!(stderr.contains("hint: HF_ENDPOINT names 127.0.0.1:1, which did not respond or failed"), "{stderr}");
}

#[test]
fn options_of_render_that_contradict_each_other_are_named() {
    let env = Env::new();
    env.registry.add_base_image("base/tools", "v1", &["linux/amd64"]);
    let image = env.image("a/b:v1");
    env.answer(&["push", MODEL, &image, "--base", &env.image("base/tools:v1")]);
    let told = |args: &[&str]| {
        let output = env.run(&[&["render", &image, "--resolve"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        text(&output.stderr)
    };
    for (args, said) in [
        (&["--mode", "knative", "--autoscaler", "hpa"][..], "leave --mode knative or --autoscaler out, or change it"),
        (&["--min-replicas", "3", "--max-replicas", "1"], "at least 3 replicas and at most 1 do not go together"),
        (&["--min-replicas", "3", "--max-replicas", "1"], "raise --max-replicas, or lower --min-replicas"),
        (&["--gpus", "lots"], "expected a whole number"),
    ] {
        let stderr = told(args);
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}
