//! The recipes of `recipes/` and `action.yml`: their own commands, in an environment like that of each platform, with the
//! packages of `make dist` and servers on this machine.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use modelcar_testkit::{FakeGoogle, FakeHub, GoogleCall, HubConfig, ModelTree};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    auth::{GOOGLE_HOST, HTPASSWD, PASSWORD, Site, docker_config},
    files::set_mode,
    fixture,
    packages::{dist, load},
    parts::{Part, available, command, repository, run, static_binary},
    pinned_digest,
    podman::Podman,
    registry::Registry,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const HUB_TOKEN: &str = "hf_secret";
const MODEL: &str = "acme/tiny";
const PROVIDER: &str = "projects/1/locations/global/workloadIdentityPools/p/providers/x";

fn read(recipe: &str) -> String {
    fs::read_to_string(repository().join(recipe)).unwrap()
}

fn yaml(recipe: &str) -> Value {
    serde_saphyr::from_str(&read(recipe)).unwrap()
}

/// The texts of an array, with the words that the platform puts in.
fn filled(values: &Value, words: &[(&str, &str)]) -> Vec<String> {
    let fill = |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    values.as_array().unwrap().iter().map(|value| fill(value.as_str().unwrap())).collect()
}

/// A Hub that wants a token, with one model.
fn hub() -> FakeHub {
    let hub = FakeHub::start_blocking(HubConfig { tokens: vec![HUB_TOKEN.into()], ..HubConfig::default() });
    hub.add_repo(MODEL, "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    hub
}

/// A registry that wants a login.
struct Login {
    registry: Registry,
    folder: TempDir,
}

impl Login {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("htpasswd");
        fs::write(&file, HTPASSWD).unwrap();
        let rest = format!("auth:\n  htpasswd:\n    realm: x\n    path: {}\n", file.display());
        Self { registry: Registry::start_with(&rest), folder }
    }

    fn name(&self) -> String {
        format!("{}/models/tiny", self.registry.address())
    }

    /// Writes Docker's `config.json` into `folder`.
    fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("config.json"), docker_config(&self.registry.address().to_string(), "me", PASSWORD))
            .unwrap();
    }
}

/// A virtual environment whose pip finds the wheel of `make dist` and no other.
fn python(folder: &Path) -> Command {
    run(command("python3").args(["-m", "venv"]).arg(folder));
    let mut shell = Command::new("bash");
    shell.env_clear().env("PATH", format!("{}/bin:/usr/bin:/bin", folder.display()));
    offline(&mut shell);
    shell
}

fn offline(shell: &mut Command) {
    shell.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", dist().canonicalize().unwrap());
}

/// Every recipe names the release that this repository makes.
#[test]
fn the_recipes_name_this_version() {
    for (recipe, said) in [
        ("action.yml", format!("default: \"{VERSION}\"")),
        ("recipes/github-actions.yml", format!("modelcar/modelcar@v{VERSION}\n")),
        ("recipes/gitlab-ci.yml", format!("MODELCAR_VERSION: \"{VERSION}\"")),
        ("recipes/tekton-task.yaml", format!("image: ghcr.io/modelcar/modelcar:{VERSION}\n")),
        ("recipes/argo-workflow.yaml", format!("image: ghcr.io/modelcar/modelcar:{VERSION}\n")),
        ("recipes/cloud-build.yaml", format!("ghcr.io/modelcar/modelcar:{VERSION}\n")),
        ("recipes/container-run.sh", format!("ghcr.io/modelcar/modelcar:{VERSION}}}")),
        ("recipes/Jenkinsfile", format!("MODELCAR_VERSION = '{VERSION}'")),
    ] {
        assert!(read(recipe).contains(&said), "{recipe} lacks {said}");
    }
}

/// A container of modelcar's image in a pod, with the user and the environment of the recipe.
struct Container {
    root: TempDir,
}

impl Container {
    fn new(writable: &[&str]) -> Self {
        let root = TempDir::new().unwrap();
        fs::copy(static_binary(), root.path().join("modelcar")).unwrap();
        for folder in writable {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            set_mode(&root.path().join(folder), 0o777);
        }
        set_mode(root.path(), 0o755);
        Self { root }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    /// Runs the container `spec`; a value from the secret `hf-token` is the Hub's token.
    fn run(&self, spec: &Value, words: &[(&str, &str)], more: &[&str], hub: &FakeHub) -> String {
        let user = spec["securityContext"]["runAsUser"].as_u64().unwrap();
        let mut chroot = Command::new("chroot");
        chroot.arg(format!("--userspec={user}:{user}")).arg(self.root.path());
        chroot.args(filled(&spec["command"], words)).args(filled(&spec["args"], words)).args(more);
        // `chroot` itself is looked up by this PATH.
        chroot.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HF_ENDPOINT", hub.endpoint());
        for variable in spec["env"].as_array().unwrap() {
            let value = match &variable["valueFrom"]["secretKeyRef"]["name"] {
                Value::Null => filled(&Value::Array(vec![variable["value"].clone()]), words).remove(0),
                secret => {
                    assert_eq!(secret, "hf-token");
                    HUB_TOKEN.to_owned()
                }
            };
            chroot.env(variable["name"].as_str().unwrap(), value);
        }
        run(&mut chroot)
    }
}

#[test]
fn tekton_pushes_and_has_the_digest_as_a_result() {
    if !available(&[Part::Static, Part::Registry, Part::Root]) {
        return;
    }
    let (hub, login) = (hub(), Login::start());
    let task = yaml("recipes/tekton-task.yaml");
    let step = &task["spec"]["steps"][0];
    let container = Container::new(&["tekton/home", "tekton/results", "tmp"]);
    login.write(&container.path("workspace/docker-config"));
    let image = format!("{}:v1", login.name());
    let mut step = step.clone();
    // Tekton puts each element of an array in the place of the word.
    let arguments = step["args"].as_array_mut().unwrap();
    assert_eq!(arguments.pop().unwrap(), "$(params.arguments[*])");
    let words = [
        ("$(params.source)", MODEL),
        ("$(params.image)", &*image),
        ("$(results.IMAGE_DIGEST.path)", "/tekton/results/IMAGE_DIGEST"),
        ("$(workspaces.docker-config.path)", "/workspace/docker-config"),
    ];
    let stdout = container.run(&step, &words, &["--base", "scratch"], &hub);
    let digest = pinned_digest(&stdout, &login.name());
    assert_eq!(fs::read_to_string(container.path("tekton/results/IMAGE_DIGEST")).unwrap().trim(), digest);
    assert_eq!(task["spec"]["results"][0]["name"], "IMAGE_DIGEST");
}

#[test]
fn argo_pushes_and_has_the_digest_as_a_parameter() {
    if !available(&[Part::Static, Part::Registry, Part::Root]) {
        return;
    }
    let (hub, login) = (hub(), Login::start());
    let workflow = yaml("recipes/argo-workflow.yaml");
    let template = &workflow["spec"]["templates"][0];
    assert_eq!(template["name"], workflow["spec"]["entrypoint"]);
    let container = Container::new(&["tmp"]);
    let mount = &template["container"]["volumeMounts"][0];
    assert_eq!(mount["name"], workflow["spec"]["volumes"][0]["name"]);
    login.write(&container.path(mount["mountPath"].as_str().unwrap()));
    let image = format!("{}:v1", login.name());
    let words = [
        ("{{workflow.parameters.source}}", MODEL),
        ("{{workflow.parameters.image}}", &*image),
        ("{{workflow.parameters.base}}", "scratch"),
    ];
    let stdout = container.run(&template["container"], &words, &[], &hub);
    let file = container.path(template["outputs"]["parameters"][0]["valueFrom"]["path"].as_str().unwrap());
    assert_eq!(fs::read_to_string(file).unwrap().trim(), pinned_digest(&stdout, &login.name()));
}

/// GitHub's runner: the steps of the action one after the other, with the files by which steps speak to the runner.
#[test]
fn the_action_pushes_with_the_workflows_identity() {
    if !available(&[Part::Packages, Part::Registry, Part::Nginx]) {
        return;
    }
    let google = FakeGoogle::start_blocking(Duration::from_hours(1));
    let (hub, site) = (hub(), Site::google(&google.logins(), Duration::from_hours(1)));
    let runner = TempDir::new().unwrap();
    let path = |name: &str| runner.path().join(name);
    let release = path("modelcar/modelcar/releases/download").join(format!("v{VERSION}"));
    fs::create_dir_all(release.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(dist().canonicalize().unwrap(), release).unwrap();
    fs::create_dir(path("temp")).unwrap();
    fs::write(path("google.json"), google.external_account(false).to_string()).unwrap();
    let name = format!("{GOOGLE_HOST}/p/models/tiny");
    let (image, server) = (format!("{name}:v1"), format!("file://{}", runner.path().display()));
    let expressions = [
        ("${{ inputs.version }}", VERSION),
        ("${{ inputs.source }}", MODEL),
        ("${{ inputs.image }}", &*image),
        ("${{ inputs.arguments }}", "--base\nscratch\n"),
        ("${{ github.server_url }}", &*server),
    ];
    let action = yaml("action.yml");
    for step in action["runs"]["steps"].as_array().unwrap() {
        let mut shell = site.modelcar_as("bash", runner.path());
        shell.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()]);
        let added = fs::read_to_string(path("GITHUB_PATH")).unwrap_or_default();
        shell.env("PATH", format!("{}:/usr/bin:/bin", added.trim()));
        shell.env("RUNNER_OS", "Linux").env("RUNNER_TEMP", path("temp")).env("HF_TOKEN", HUB_TOKEN);
        shell.env("RUNNER_ARCH", if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" });
        shell.env("HF_ENDPOINT", hub.endpoint()).env("GOOGLE_APPLICATION_CREDENTIALS", path("google.json"));
        for file in ["GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"] {
            shell.env(file, path(file));
        }
        for (variable, value) in step["env"].as_object().unwrap() {
            shell.env(variable, &filled(&Value::Array(vec![value.clone()]), &expressions)[0]);
        }
        run(&mut shell);
    }
    let outputs = fs::read_to_string(path("GITHUB_OUTPUT")).unwrap();
    let outputs: BTreeMap<_, _> = outputs.lines().map(|line| line.split_once('=').unwrap()).collect();
    let digest = pinned_digest(&format!("{}\n", outputs["image"]), &name);
    assert_eq!(outputs["digest"], digest);
    assert!(fs::read_to_string(path("GITHUB_STEP_SUMMARY")).unwrap().contains(&digest));
    assert_eq!(google.calls(), [GoogleCall::Federation]);
}

/// GitLab's runner: the commands of the job in one shell that stops at the first failure.
#[test]
fn gitlab_pushes_with_its_id_token() {
    if !available(&[Part::Packages, Part::Registry, Part::Nginx, Part::Python]) {
        return;
    }
    let google = FakeGoogle::start_blocking(Duration::from_hours(1));
    let (hub, site) = (hub(), Site::google(&google.logins(), Duration::from_hours(1)));
    let project = TempDir::new().unwrap();
    let job = &yaml("recipes/gitlab-ci.yml")["push-model"];
    let name = format!("{GOOGLE_HOST}/p/models/tiny");
    let mut variables: BTreeMap<_, _> = job["variables"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    // What the user of the recipe sets.
    for (variable, value) in [
        ("MODEL", MODEL),
        ("IMAGE", &*format!("{name}:v1")),
        ("BASE", "scratch"),
        ("GOOGLE_STS", &*format!("http://{}/sts", google.host())),
    ] {
        variables.insert(variable.to_owned(), value.to_owned()).expect("the recipe has the variable");
    }
    assert_eq!(job["id_tokens"]["GOOGLE_ID_TOKEN"]["aud"], "https://iam.googleapis.com/$GOOGLE_PROVIDER");

    let script = filled(&job["script"], &[]).join("\n");
    let venv = project.path().join("venv");
    python(&venv);
    let mut shell = site.modelcar_as("bash", project.path());
    offline(&mut shell);
    shell.args(["-eo", "pipefail", "-c", &script]).current_dir(project.path());
    shell.env("PATH", format!("{}/bin:/usr/bin:/bin", venv.display())).env("CI", "true");
    shell.env("CI_PROJECT_DIR", project.path()).env("GOOGLE_PROVIDER", PROVIDER);
    shell.env("GOOGLE_ID_TOKEN", "oidc-token-of-a-job").env("HF_TOKEN", HUB_TOKEN).env("HF_ENDPOINT", hub.endpoint());
    for (variable, value) in variables {
        shell.env(variable, value.replace("$CI_PROJECT_DIR", project.path().to_str().unwrap()));
    }
    run(&mut shell);
    let dotenv = fs::read_to_string(project.path().join("modelcar.env")).unwrap();
    let digest = pinned_digest(dotenv.strip_prefix("PINNED_IMAGE=").unwrap(), &name);
    assert_eq!(fs::read_to_string(project.path().join("digest")).unwrap().trim(), digest);
    assert_eq!(google.calls(), [GoogleCall::Federation]);
}

#[test]
fn jenkins_pushes_with_its_credentials() {
    if !available(&[Part::Packages, Part::Registry, Part::Python]) {
        return;
    }
    let (hub, login) = (hub(), Login::start());
    let workspace = TempDir::new().unwrap();
    let recipe = read("recipes/Jenkinsfile");
    // Groovy's triple quotes: a backslash before a line's end joins two lines, as it does in the shell.
    let script = recipe.split_once("sh '''").unwrap().1.split_once("'''").unwrap().0;
    let mut shell = Command::new("sh");
    shell.args(["-xe", "-c", script]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    offline(&mut shell);
    shell.current_dir(workspace.path()).env("HOME", workspace.path());
    shell.env("WORKSPACE_TMP", workspace.path().join("tmp")).env("MODELCAR_VERSION", VERSION);
    shell.env("MODEL", MODEL).env("IMAGE", format!("{}:v1", login.name())).env("BASE", "scratch");
    shell.env("HF_TOKEN", HUB_TOKEN).env("HF_ENDPOINT", hub.endpoint());
    shell.env("MODELCAR_REGISTRY_USERNAME", "me").env("MODELCAR_REGISTRY_PASSWORD", PASSWORD);
    run(&mut shell);
    let image = fs::read_to_string(workspace.path().join("image")).unwrap();
    let digest = fs::read_to_string(workspace.path().join("digest")).unwrap();
    assert_eq!(pinned_digest(&image, &login.name()), digest.trim());
}

#[test]
fn a_container_engine_pushes_with_dockers_login() {
    if !available(&[Part::Packages, Part::Registry, Part::Podman, Part::Root]) {
        return;
    }
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return assert!(std::env::var_os("MODELCAR_REQUIRE_INTEROP").is_none(), "podman: {why}"),
    };
    let (hub, login) = (hub(), Login::start());
    login.write(&login.folder.path().join("docker"));
    // podman with the options of this machine, as a program.
    let engine = login.folder.path().join("engine");
    let options: Vec<_> = podman.command().get_args().map(|option| option.to_str().unwrap().to_owned()).collect();
    fs::write(&engine, format!("#!/bin/sh\nexec podman {} \"$@\"\n", options.join(" "))).unwrap();
    set_mode(&engine, 0o755);
    let mut script = podman.command();
    script = {
        let mut own = command(repository().join("recipes/container-run.sh"));
        own.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
        own
    };
    script.env("CONTAINER_ENGINE", engine).env("MODELCAR_IMAGE", load(&podman));
    script.env_remove("REGISTRY_AUTH_FILE").env("DOCKER_CONFIG", login.folder.path().join("docker"));
    script.env("HF_TOKEN", HUB_TOKEN).env("HF_ENDPOINT", hub.endpoint());
    let stdout = run(script.args([MODEL, &format!("{}:v1", login.name()), "--base", "scratch"]));
    pinned_digest(&stdout, &login.name());
}
