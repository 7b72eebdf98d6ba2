//! Images of the test registry that are not modelcar's: model servers under the names that manifests use, and images of
//! other tools with something odd about them. umoci makes them and skopeo pushes them.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{parts::Parts, program::run, registry, wait::Result};

/// The stand-in with an entry for KServe's user in its `/etc/passwd`.
pub(crate) const WITH_USER: &str = "127.0.0.1:5000/servers/with-user:v1";
/// The stand-in that runs as the user of modelcar's images.
pub(crate) const AS_MODEL_USER: &str = "127.0.0.1:5000/servers/as-1010:v1";
/// The tag of KServe's Hugging Face server that serves the real model.
pub(crate) const REAL_TAG: &str = "minilm";
/// The image volume's holder and the pod's: the names that are pulled.
const PAUSE_NAMES: [&str; 2] = [registry::PAUSE, "registry.k8s.io/pause:3.10"];
/// Server images of vLLM that manifests name by a version of their own.
const VLLM_NAMES: [&str; 5] = [
    "vllm/vllm-openai:v0.23.0",
    "vllm/vllm-openai:latest",
    "vllm/vllm-openai-cpu:latest",
    "kserve/huggingfaceserver:latest-gpu",
    "kserve/huggingfaceserver:v0.19.0-gpu",
];

/// Makes images in OCI layouts and pushes them.
#[derive(Debug)]
pub(crate) struct Images {
    folder: PathBuf,
}

/// What a container of an image runs, and as whom.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run<'a> {
    pub(crate) user: &'a str,
    pub(crate) entrypoint: &'a [&'a str],
}

impl Images {
    pub(crate) fn new(state: &Path) -> Result<Self> {
        let images = Self { folder: state.join("images") };
        fs::create_dir_all(&images.folder)?;
        Ok(images)
    }

    /// Returns the layout of an image: one for each, because umoci's changes to one would overtake each other.
    pub(crate) fn layout(&self, tag: &str) -> PathBuf {
        self.folder.join("layouts").join(tag)
    }

    fn tag(&self, tag: &str) -> String {
        format!("{}:image", self.layout(tag).display())
    }

    /// Makes the image `tag` of a folder, which becomes its root.
    pub(crate) fn make(&self, tag: &str, root: &Path, config: Run<'_>) -> Result {
        fs::create_dir_all(self.folder.join("layouts"))?;
        run(Command::new("umoci").args(["init", "--layout"]).arg(self.layout(tag)))?;
        run(Command::new("umoci").args(["new", "--image", &self.tag(tag)]))?;
        run(Command::new("umoci").args(["insert", "--image", &self.tag(tag)]).arg(root).arg("/"))?;
        self.configure(tag, config)
    }

    /// Makes the image `tag` of another one.
    pub(crate) fn derive(&self, tag: &str, from: &str, config: Run<'_>) -> Result {
        let (from, to) = (format!("oci:{}", self.tag(from)), format!("oci:{}", self.tag(tag)));
        run(Command::new("skopeo").args(["copy", "--quiet", &from, &to]))?;
        self.configure(tag, config)
    }

    /// Takes over an image of the registry as `tag`.
    pub(crate) fn fetch(&self, image: &str, tag: &str) -> Result {
        let (from, to) = (format!("docker://{image}"), format!("oci:{}", self.tag(tag)));
        run(Command::new("skopeo").args(["copy", "--quiet", "--src-tls-verify=false", &from, &to])).map(drop)
    }

    pub(crate) fn configure(&self, tag: &str, config: Run<'_>) -> Result {
        let mut umoci = Command::new("umoci");
        umoci.args(["config", "--image", &self.tag(tag), "--config.env", "PATH=/usr/local/bin:/usr/bin:/bin"]);
        umoci.args(["--config.user", config.user, "--clear", "config.entrypoint"]);
        for word in config.entrypoint {
            umoci.args(["--config.entrypoint", word]);
        }
        run(&mut umoci).map(drop)
    }

    /// Says that an image is for another architecture.
    pub(crate) fn set_architecture(&self, tag: &str, architecture: &str) -> Result {
        run(Command::new("umoci").args(["config", "--image", &self.tag(tag), "--architecture", architecture])).map(drop)
    }

    /// Adds a file or folder to an image, as a layer of its own.
    pub(crate) fn insert(&self, tag: &str, source: &Path, target: &str) -> Result {
        run(Command::new("umoci").args(["insert", "--image", &self.tag(tag)]).arg(source).arg(target)).map(drop)
    }

    /// Pushes an image under a name that nodes pull, and returns that name in the test registry.
    pub(crate) fn push(&self, tag: &str, name: &str) -> Result<String> {
        let there = here(name);
        let (from, to) = (format!("oci:{}", self.tag(tag)), format!("docker://{there}"));
        run(Command::new("skopeo").args(["copy", "--quiet", "--dest-tls-verify=false", &from, &to]))?;
        Ok(there)
    }

    /// Makes the stand-ins for every server that manifests name, `others` among them, and the pods' own image.
    pub(crate) fn servers(&self, parts: &Parts, others: &[String]) -> Result {
        let pause = self.folder.join("pause");
        fs::create_dir_all(&pause)?;
        fs::copy("/usr/bin/catatonit", pause.join("pause"))?;
        self.make("pause", &pause, Run { user: "65535", entrypoint: &["/pause", "-P"] })?;
        for name in PAUSE_NAMES {
            self.push("pause", name)?;
        }
        let root = self.folder.join("server");
        server_root(&root, &parts.program("model-server"))?;
        let vllm = Run { user: "", entrypoint: &["vllm", "serve"] };
        self.make("vllm", &root, vllm)?;
        // As the real images: KServe's own server has a user, that of llm-d too.
        self.derive("huggingface", "vllm", Run { user: "1000", entrypoint: &["vllm"] })?;
        self.derive("llm-d", "vllm", Run { user: "2000", entrypoint: &[] })?;
        let names = VLLM_NAMES.iter().map(|name| (*name).to_owned()).chain(others.iter().cloned());
        for name in names {
            let kind = ["huggingface", "llm-d"].into_iter().find(|kind| name.contains(kind)).unwrap_or("vllm");
            self.push(kind, &name)?;
        }
        self.derive("as-1010", "vllm", Run { user: "1010", ..vllm })?;
        self.push("as-1010", AS_MODEL_USER)?;
        let passwd = self.folder.join("passwd");
        fs::write(&passwd, "root:x:0:0::/:/bin/sh\napp:x:1010:1010::/:/bin/sh\n")?;
        self.derive("with-user", "vllm", vllm)?;
        self.insert("with-user", &passwd, "/etc/passwd")?;
        self.push("with-user", WITH_USER).map(drop)
    }

    /// Makes an image of the Python that has KServe's packages, which serves a real model, under the name of KServe's
    /// Hugging Face server.
    pub(crate) fn real_server(&self, parts: &Parts, python: &Path) -> Result {
        let root = self.folder.join("python");
        let script = parts.workspace.join("tests/cluster/python_root.sh");
        run(Command::new("bash").arg(script).arg(python).arg(&root))?;
        fs::copy(parts.workspace.join("tests/interop/serve_minilm.py"), root.join("serve_minilm.py"))?;
        let python = python.display().to_string();
        self.make("real", &root, Run { user: "1000", entrypoint: &[&python, "/serve_minilm.py", "runtime"] })?;
        self.push("real", &format!("kserve/huggingfaceserver:{REAL_TAG}")).map(drop)
    }
}

/// Returns where the test registry has an image that nodes pull by `name`.
fn here(name: &str) -> String {
    if name.starts_with(registry::OPEN) || name.starts_with(registry::PRIVATE) {
        return name.to_owned();
    }
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains('.') => path,
        _ => name,
    };
    format!("{}/{path}", registry::OPEN)
}

/// Fills a folder with a shell and the stand-in under each name that manifests call a server by.
fn server_root(root: &Path, server: &Path) -> Result {
    let bin = root.join("usr/bin");
    for folder in [&bin, &root.join("etc"), &root.join("app")] {
        fs::create_dir_all(folder)?;
    }
    symlink("usr/bin", root.join("bin"))?;
    let temporary = root.join("tmp");
    fs::create_dir_all(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o1777))?;
    fs::copy("/usr/bin/busybox", bin.join("busybox"))?;
    for tool in run(Command::new("/usr/bin/busybox").arg("--list"))?.lines().filter(|tool| *tool != "busybox") {
        symlink("busybox", bin.join(tool))?;
    }
    fs::copy("/usr/bin/bash-static", bin.join("bash"))?;
    fs::copy(server, bin.join("model-server"))?;
    for name in ["python", "python3", "vllm"] {
        symlink("model-server", bin.join(name))?;
    }
    Ok(())
}

/// Returns the Python of the tests and the folder of the real model, or what is missing.
pub(crate) fn real_parts() -> std::result::Result<(PathBuf, PathBuf), String> {
    let from = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"));
    let (python, model) = (from("MODELCAR_PYTHON")?, from("MODELCAR_REAL_MODEL")?);
    let has_packages = run(Command::new(&python).args(["-c", "import kserve, numpy, safetensors, tokenizers"]));
    has_packages.map_err(|_| "the Python of MODELCAR_PYTHON lacks kserve, numpy, safetensors or tokenizers")?;
    Ok((python, model))
}
