//! The commands of the guide's page about KServe, run as they stand there.
//!
//! A fenced block below the line `<!-- cluster: NAME -->` is run here. The blocks that have the same name are one script.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::Command,
};

use super::{Outcome, Scenario, models::Models};
use crate::{
    program::run,
    scene::{Model, SMALL, Scene},
    wait::{Look, Result, soon},
};

const PAGE: &str = "docs/first-token.md";
/// The longest that one script may take. A loop of the page that does not end would hold up everything.
const SCRIPT_SECONDS: &str = "240";

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("guide-first-token", first_token)]
}

/// Serves a model, asks it, and changes it, with the commands of the page.
fn first_token(scene: &Scene<'_>, models: &Models) -> Result<Outcome> {
    let machine = Machine::new(scene)?;
    let said = machine.run("serve", &models.tiny)?;
    for words in ["state   ready", "\"content\":\"Hello.\"", models.tiny.digest()] {
        if !said.contains(words) {
            return Err(format!("the page's commands do not say {words:?}: {said}").into());
        }
    }
    let pod = scene.service("qwen")?;
    let files = Scene::same_files(&scene.seen(&pod)?, &models.tiny)?;
    machine.run("update", &models.revised)?;
    // KServe's controller may not have seen the change yet, and an old rollout has long ended.
    soon("the Deployment of the new digest", || {
        let template = scene.kubectl(&["get", "deployment/qwen-predictor", "-o", "json"])?;
        let is_new = template.contains(models.revised.digest());
        Ok(if is_new { Look::Done(()) } else { Look::NotYet("it has the old one".to_owned()) })
    })?;
    scene.kubectl(&["rollout", "status", "deployment/qwen-predictor", "--timeout=180s"])?;
    let pod = scene.service("qwen")?;
    Scene::same_files(&scene.seen(&pod)?, &models.revised)?;
    machine.run("prepull", &models.revised)?;
    scene.kubectl(&["rollout", "status", "daemonset/prepull-tiny", "--timeout=180s"])?;
    machine.run("try", &models.revised)?;
    Ok(Outcome::Ready { files })
}

/// The machine of somebody who reads the page: `kubectl` for one namespace, and `modelcar`.
struct Machine<'a> {
    scene: &'a Scene<'a>,
    folder: PathBuf,
}

impl<'a> Machine<'a> {
    fn new(scene: &'a Scene<'a>) -> Result<Self> {
        let machine = Self { scene, folder: scene.cluster.state.join("guide") };
        let bin = machine.folder.join("bin");
        fs::create_dir_all(&bin)?;
        symlink(scene.cluster.kubectl.program(), bin.join("kubectl"))?;
        let modelcar = bin.join("modelcar");
        fs::write(&modelcar, machine.modelcar())?;
        fs::set_permissions(modelcar, fs::Permissions::from_mode(0o755))?;
        let config = machine.folder.join("kubeconfig");
        fs::copy(scene.cluster.kubectl.config(), &config)?;
        let args = ["config", "set-context", "--current", "--namespace", &scene.namespace, "--kubeconfig"];
        run(Command::new(scene.cluster.kubectl.program()).args(args).arg(config))?;
        Ok(machine)
    }

    /// Returns a script that gives servers less than the page's machines have: the node is small.
    fn modelcar(&self) -> String {
        let program = self.scene.cluster.modelcar();
        let program = program.get_program().display();
        let (small, release) = (SMALL.join(" "), self.scene.release().join(" "));
        format!(
            "#!/bin/sh\ncase \"$*\" in\n*prepull*) ;;\nrender*) set -- \"$@\" {small} {release} ;;\nesac\nexec {program} \"$@\"\n"
        )
    }

    /// Runs a script of the page, and returns what it printed.
    fn run(&self, name: &str, model: &Model) -> Result<String> {
        let page = fs::read_to_string(self.scene.cluster.parts.workspace.join(PAGE))?;
        let script = script(&page, name).replace("node NODE", "node --all --overwrite");
        if script.is_empty() {
            return Err(format!("{PAGE} has no block {name}").into());
        }
        // What the page leaves running ends with the script.
        let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
        let mut bash = Command::new("timeout");
        bash.args([SCRIPT_SECONDS, "bash", "-euo", "pipefail", "-c", &script]).current_dir(&self.folder).env_clear();
        bash.env("HOME", &self.folder).env("PATH", format!("{}:/usr/bin:/bin", self.folder.join("bin").display()));
        bash.env("KUBECONFIG", self.folder.join("kubeconfig")).env("PINNED", &model.image);
        run(&mut bash).map_err(|error| format!("{PAGE}, {name}: {error}").into())
    }
}

/// Returns the blocks of a page that are marked with a name.
fn script(page: &str, name: &str) -> String {
    let (mut script, mut is_wanted, mut is_inside) = (String::new(), false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            is_wanted &= !is_inside;
            is_inside = !is_inside;
        } else if is_inside && is_wanted {
            script.extend([line, "\n"]);
        } else if !is_inside && !line.is_empty() && !line.starts_with("<!-- run: ") {
            is_wanted = line.strip_prefix("<!-- cluster: ").and_then(|rest| rest.strip_suffix(" -->")) == Some(name);
        }
    }
    script
}
