//! A registry with a certificate of a private authority, behind a proxy that wants a login.

use modelcar_testkit::{Auth, ConnectProxy, FakeRegistry, Identity, PrivateCa, RegistryConfig, TlsFront};

use super::{Env, fs, text};

#[test]
fn a_private_authority_and_a_proxy_with_a_password_lead_to_the_registry() {
    let env = Env::new();
    let auth = Auth::basic("me", "hunter2");
    let registry = FakeRegistry::start_blocking(RegistryConfig { auth, ..RegistryConfig::default() });
    let ca = PrivateCa::new();
    let front = TlsFront::start(registry.host().parse().unwrap(), &ca.certify(&["registry.test"]));
    // "Aladdin:open sesame", the example of RFC 7617.
    let login = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    let proxy =
        ConnectProxy::start(&[("registry.test:443", front.addr()), ("other.test:443", front.addr())], Some(login));
    fs::write(env.dir.path().join("ca.pem"), ca.pem()).unwrap();

    let run = |image: &str, proxy: &str, arguments: &[&str]| {
        let mut push = env.command(&["push", super::MODEL, image, "--base", "scratch"]);
        push.args(arguments).env("https_proxy", proxy);
        push.env("MODELCAR_REGISTRY_USERNAME", "me").env("MODELCAR_REGISTRY_PASSWORD", "hunter2").output().unwrap()
    };
    let with_password = format!("http://Aladdin:open%20sesame@{}", proxy.addr());
    let pushed = run("registry.test/acme/tiny:v1", &with_password, &["--ca-file", "ca.pem"]);
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    assert_eq!(registry.tags().len(), 1);

    for (image, proxy, arguments, said) in [
        ("registry.test/acme/tiny:v1", &with_password, &[][..], "--ca-file"),
        ("other.test/acme/tiny:v1", &with_password, &["--ca-file", "ca.pem"], "other.test"),
        ("registry.test/acme/tiny:v1", &proxy.url(), &["--ca-file", "ca.pem"], "registry.test"),
        ("registry.test/acme/tiny:v1", &"http://Aladdin:open%20sesame@[".to_owned(), &[], "HTTPS_PROXY"),
        ("registry.test/acme/tiny:v1", &with_password, &["--ca-file", "missing.pem"], "missing.pem"),
    ] {
        let refused = run(image, proxy, arguments);
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(!stderr.contains("sesame") && !stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn the_password_is_not_an_argument_and_the_digest_file_is_tried_first() {
    let env = Env::new();
    env.refused(&["push", super::MODEL, &env.image("a:v1"), "--username", "me"], &["--password-stdin"]);
    env.refused(&["push", super::MODEL, &env.image("a:v1"), "--password-stdin"], &["--username"]);
    env.refused(
        &["push", super::MODEL, &env.image("a:v1"), "--username", "me", "--password-stdin"],
        &["the password on stdin is empty"],
    );
    env.refused(&["push", super::MODEL, &env.image("a:v1"), "--digest-file", "no/such/folder"], &["no/such/folder"]);
    let file = env.dir.path().join("digest");
    fs::write(
        &file,
        "an older and much longer digest than the one that comes, of another push, long since forgotten\n",
    )
    .unwrap();
    let answer =
        env.answer(&["push", super::MODEL, &env.image("a:v1"), "--base", "scratch", "--digest-file", "digest"]);
    let digest = fs::read_to_string(&file).unwrap();
    assert_eq!(answer, format!("{}@{}", env.image("a"), digest.trim_end()));
}

#[test]
fn each_fault_of_a_certificate_is_told_by_its_name() {
    let env = Env::new();
    let ca = PrivateCa::new();
    let (own, foreign) = (Identity::self_signed(&["registry.test"]), Identity::self_signed(&["registry.test"]));
    fs::write(env.dir.path().join("ca.pem"), format!("{}{}", ca.pem(), own.certificate)).unwrap();
    let push = |identity: &Identity, host: &str| {
        let front = TlsFront::start(env.registry.host().parse().unwrap(), identity);
        let proxy = ConnectProxy::start(&[(&format!("{host}:443"), front.addr())], None);
        let image = format!("{host}/acme/tiny:v1");
        let mut push = env.command(&["push", super::MODEL, &image, "--base", "scratch", "--ca-file", "ca.pem"]);
        push.env("https_proxy", proxy.url()).output().unwrap()
    };
    let pushed = push(&own, "registry.test");
    assert!(pushed.status.success(), "the named certificate itself: {}", text(&pushed.stderr));
    for (identity, host, said, hint) in [
        (ca.certify_between(&["registry.test"], 2001, 2002), "registry.test", "has expired", "renew"),
        (ca.certify_between(&["registry.test"], 2090, 2099), "registry.test", "is not valid yet", "correct the clock"),
        (ca.certify(&["other.test"]), "registry.test", "is for another name", "name that the certificate is for"),
        (own, "other.test", "is for another name", "name that the certificate is for"),
        (foreign, "registry.test", "is self-signed and not trusted", "name its certificate with --ca-file"),
        (
            PrivateCa::new().certify(&["registry.test"]),
            "registry.test",
            "an authority that is not trusted",
            "--ca-file",
        ),
    ] {
        let refused = push(&identity, host);
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(stderr.contains("hint: ") && stderr.contains(hint), "{hint}: {stderr}");
    }
}

#[test]
fn a_bare_name_on_docker_hub_is_in_its_library() {
    let env = Env::new();
    let ca = PrivateCa::new();
    fs::write(env.dir.path().join("ca.pem"), ca.pem()).unwrap();
    let front = TlsFront::start(env.registry.host().parse().unwrap(), &ca.certify(&["registry-1.docker.io"]));
    let proxy = ConnectProxy::start(&[("registry-1.docker.io:443", front.addr())], None);
    let run = |args: &[&str]| {
        let output = env.command(args).arg("--ca-file").arg("ca.pem").env("https_proxy", proxy.url()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    run(&["push", super::MODEL, "docker.io/library/tiny:v1", "--base", "scratch"]);
    assert_eq!(env.registry.tags()[0].0, "library/tiny");
    for name in ["docker.io/tiny:v1", "docker.io/library/tiny:v1", "index.docker.io/tiny:v1"] {
        run(&["inspect", name]);
    }
    run(&["build", super::MODEL, "--base", "docker.io/tiny:v1", "--output", "oci:out"]);
}

#[test]
fn a_registry_on_this_machine_may_speak_tls() {
    let env = Env::new();
    let ca = PrivateCa::new();
    fs::write(env.dir.path().join("ca.pem"), ca.pem()).unwrap();
    let front = TlsFront::start(env.registry.host().parse().unwrap(), &ca.certify(&["127.0.0.1", "localhost"]));
    let run = |arguments: &[&str]| {
        let login = [("MODELCAR_REGISTRY_USERNAME", "me"), ("MODELCAR_REGISTRY_PASSWORD", "hunter2")];
        env.command(arguments).envs(login).output().unwrap()
    };
    let image = format!("{}/acme/tiny:v1", front.addr());
    let refused = run(&["push", super::MODEL, &image, "--base", "scratch"]);
    let stderr = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("an authority that is not trusted here") && stderr.contains("--ca-file"), "{stderr}");
    assert!(env.registry.requests().is_empty(), "a bad certificate is no reason for plain HTTP");

    for host in [front.addr().to_string(), format!("localhost:{}", front.addr().port()), env.registry.host()] {
        let image = format!("{host}/acme/tiny:v1");
        let pushed = run(&["push", super::MODEL, &image, "--base", "scratch", "--ca-file", "ca.pem"]);
        assert!(pushed.status.success(), "{host}: {}", text(&pushed.stderr));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one registry, and every way to answer it")]
fn a_registry_may_ask_for_a_certificate_of_the_client() {
    let env = Env::new();
    let (ca, other) = (PrivateCa::new(), PrivateCa::new());
    let (client, foreign) = (ca.certify_client("ci"), other.certify_client("ci"));
    let names = ["registry.test"];
    let front = TlsFront::start_for(env.registry.host().parse().unwrap(), &ca.certify(&names), Some(&ca));
    let proxy = ConnectProxy::start(&[("registry.test:443", front.addr())], None);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let both = format!("{}{}", client.certificate, client.key);
    for (name, content) in [
        ("ca.pem", ca.pem()),
        ("client.pem", &client.certificate),
        ("client.key", &client.key),
        ("both.pem", &both),
        ("foreign.pem", &foreign.certificate),
        ("foreign.key", &foreign.key),
        ("encrypted.key", encrypted),
    ] {
        fs::write(env.dir.path().join(name), content).unwrap();
    }
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = env.command(arguments);
        command.args(["--ca-file", "ca.pem"]).env("https_proxy", proxy.url()).envs(variables.iter().copied());
        command.output().unwrap()
    };
    let push = ["push", super::MODEL, "registry.test/acme/tiny:v1", "--base", "scratch"];
    let with = |more: &[&'static str]| [&push[..], more].concat();
    let (cert, key) = ("MODELCAR_REGISTRY_CLIENT_CERT", "MODELCAR_REGISTRY_CLIENT_KEY");

    let remedy = "--client-cert FILE, and its private key with --client-key FILE";
    for (arguments, variables, said, hint) in [
        (with(&[]), &[][..], "asks for a client certificate and got none", remedy),
        (
            with(&["--client-cert", "foreign.pem", "--client-key", "foreign.key"]),
            &[],
            "does not accept the client",
            remedy,
        ),
        (with(&["--client-cert", "client.pem"]), &[], "holds no private key", "--client-key"),
        (
            with(&["--client-cert", "client.pem", "--client-key", "foreign.key"]),
            &[],
            "does not belong",
            "made together",
        ),
        (with(&["--client-cert", "client.pem", "--client-key", "encrypted.key"]), &[], "encrypted", "openssl pkey"),
        (with(&["--client-cert", "none.pem"]), &[], "none.pem", "--client-cert"),
        (with(&["--client-cert", "client.key"]), &[], "no readable certificate", "PEM"),
        (with(&[]), &[(key, "client.key")], "MODELCAR_REGISTRY_CLIENT_CERT is not", "both variables"),
        (with(&[]), &[(cert, "client.pem"), (key, "none.key")], "none.key", "may read"),
    ] {
        let refused = run(&arguments, variables);
        let stderr = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(stderr.contains("hint: ") && stderr.contains(hint), "{hint}: {stderr}");
        assert!(!stderr.contains("BEGIN") && !stderr.contains(client.key.lines().nth(1).unwrap()), "{stderr}");
    }
    assert!(env.registry.requests().is_empty());
    env.refused(&with(&["--client-key", "client.key"]), &["--client-cert"]);

    let doctor = run(&["doctor", "registry.test/acme/tiny:v1"], &[]);
    let found = text(&doctor.stdout);
    assert!(found.contains("asks for a client certificate") && found.contains("--client-cert"), "{found}");

    let inspect = ["inspect", "registry.test/acme/tiny:v1", "--client-cert", "both.pem"];
    for (arguments, variables) in [
        (with(&["--client-cert", "client.pem", "--client-key", "client.key"]), &[][..]),
        (with(&["--client-cert", "both.pem"]), &[]),
        (with(&[]), &[(cert, "client.pem"), (key, "client.key")]),
        (with(&["--client-cert", "both.pem"]), &[(cert, "foreign.pem"), (key, "foreign.key")]),
        (inspect.to_vec(), &[]),
    ] {
        let output = run(&arguments, variables);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    // The folder of podman, below HOME. Its authority needs no --ca-file.
    let folder = env.dir.path().join(".config/containers/certs.d/registry.test");
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in [("ca.crt", ca.pem()), ("a.cert", &client.certificate), ("a.key", &client.key)] {
        fs::write(folder.join(name), content).unwrap();
    }
    let pushed = env.command(&push).env("https_proxy", proxy.url()).output().unwrap();
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    fs::write(folder.join("a.key"), &foreign.key).unwrap();
    let refused = env.command(&push).env("https_proxy", proxy.url()).output().unwrap();
    let stderr = text(&refused.stderr);
    assert!(stderr.contains("a.key") && stderr.contains("certs.d, NAME.cert and NAME.key"), "{stderr}");
}
