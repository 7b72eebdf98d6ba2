//! The whole cluster, from inside its namespaces: started in order, ended in order.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    control_plane::{self, Identity},
    images::Images,
    kserve::{self, Kserve},
    kubectl::Kubectl,
    node::Node,
    parts::Parts,
    program::Programs,
    registry,
    space::furnish,
    wait::Result,
};

/// A cluster that runs.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) parts: Parts,
    pub(crate) kubectl: Kubectl,
    /// Folder of everything that belongs to this run.
    pub(crate) state: PathBuf,
    /// Makes images of others.
    pub(crate) images: Images,
    /// The `modelcar` that is tried.
    pub(crate) modelcar: PathBuf,
    /// Where the documents of pods that fail are written to.
    pub(crate) documents: Option<PathBuf>,
    programs: Mutex<Programs>,
    node: Node,
}

/// Where a cluster's files lie. They are in one place, so that `down` and a look at the logs need no search.
pub(crate) fn state_folder(parts: &Parts) -> PathBuf {
    parts.made().join("state")
}

/// The folder of the logs, one file for each program.
pub(crate) fn logs_folder(parts: &Parts) -> PathBuf {
    parts.made().join("logs")
}

/// Returns the configuration by which programs reach the cluster.
pub(crate) fn kubeconfig(parts: &Parts) -> PathBuf {
    state_folder(parts).join("pki/kubeconfig")
}

impl Cluster {
    /// Starts everything. What was started when a part fails is ended again.
    pub(crate) fn start(parts: &Parts, modelcar: &Path) -> Result<Self> {
        let (state, logs) = (state_folder(parts), logs_folder(parts));
        for folder in [&state, &logs] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
            fs::create_dir_all(folder)?;
        }
        furnish()?;
        let mut programs = Programs::new(&logs)?;
        match Self::start_parts(parts, &state, &mut programs) {
            Ok((kubectl, images, node)) => Ok(Self {
                parts: parts.clone(),
                kubectl,
                state,
                images,
                modelcar: modelcar.to_owned(),
                documents: None,
                programs: Mutex::new(programs),
                node,
            }),
            Err(error) => {
                programs.stop_all(&[]);
                Err(error)
            }
        }
    }

    fn start_parts(parts: &Parts, state: &Path, programs: &mut Programs) -> Result<(Kubectl, Images, Node)> {
        let identity = Identity::new(&state.join("pki"))?;
        let kserve = Kserve::new(parts, state, &identity)?;
        let kubectl = step("control plane", || control_plane::start(parts, state, &identity, programs))?;
        step("registry", || registry::start(state, programs))?;
        let images = Images::new(state)?;
        step("images", || images.servers(parts, &kserve.images()?))?;
        let node = Node::new(parts, state, &identity)?;
        step("node", || node.start(&kubectl, programs))?;
        step("KServe", || kserve.start(parts, &kubectl, programs))?;
        Ok((kubectl, images, node))
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when one of the programs has ended.
    pub(crate) fn all_run(&self) -> Result {
        self.programs().all_run()
    }

    /// Stops the kubelet and containerd and starts them again.
    pub(crate) fn restart_node(&self) -> Result {
        let mut programs = self.programs();
        Node::stop(&mut programs)?;
        self.node.start(&self.kubectl, &mut programs)
    }

    /// Ends everything in order: what makes pods first, so that no new ones appear.
    pub(crate) fn end(&self) {
        let [kserve, llm] = kserve::controllers();
        self.programs().stop_all(&[kserve, llm, "controller-manager", "scheduler", "kubelet", "containerd"]);
        // The processes of pods end with the namespace.
    }

    /// Returns a `modelcar` that sees nothing of whoever runs the tests.
    pub(crate) fn modelcar(&self) -> Command {
        let mut command = Command::new(&self.modelcar);
        command.env_clear().env("HOME", self.state.join("home")).env("PATH", "/usr/bin:/bin");
        command
    }
}

fn step<T>(name: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = action().map_err(|error| format!("{name}: {error}"))?;
    eprintln!("{name}: up in {:.1} s", start.elapsed().as_secs_f32());
    Ok(result)
}
