//! What a scenario works with: a namespace of its own, modelcar's commands, and looks at what became of them.

use std::{collections::BTreeMap, fs, path::Path, thread, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    cluster::Cluster,
    parts::hex,
    program::{output, output_of, run},
    registry,
    scenarios::Sabotage,
    wait::{Look, Result, slowly, soon},
};

/// What the node has for a server: the kubelet reports the machine's own processors and memory.
pub(crate) const SMALL: [&str; 4] = ["--cpu", "20m", "--memory", "64Mi"];

/// A model that was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The image, by its digest.
    pub(crate) image: String,
    /// sha256 of every file, by its path.
    pub(crate) files: BTreeMap<String, String>,
}

impl Model {
    /// Returns the digest.
    pub(crate) fn digest(&self) -> &str {
        self.image.split_once('@').map_or("", |(_, digest)| digest)
    }
}

/// What `modelcar check` says.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) status: i32,
    pub(crate) report: Value,
}

impl Checked {
    /// Returns the codes of the errors.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.findings("error").filter_map(|finding| finding["code"].as_str()).collect()
    }

    /// Returns the codes of everything that is no information, the worst first.
    pub(crate) fn codes(&self) -> Vec<String> {
        let worst = ["error", "warning"].into_iter().flat_map(|severity| self.findings(severity));
        worst.filter_map(|finding| finding["code"].as_str().map(str::to_owned)).collect()
    }

    /// Returns the worst finding in words.
    pub(crate) fn first(&self) -> String {
        let mut worst = ["error", "warning"].into_iter().flat_map(|severity| self.findings(severity));
        worst.find_map(|finding| finding["message"].as_str()).unwrap_or("nothing").to_owned()
    }

    /// Returns the first error in words.
    pub(crate) fn first_error(&self) -> String {
        let mut messages = self.findings("error").filter_map(|finding| finding["message"].as_str());
        messages.next().unwrap_or("nothing").to_owned()
    }

    fn findings(&self, severity: &'static str) -> impl Iterator<Item = &Value> {
        let pods = self.report["pods"].as_array().into_iter().flatten();
        let findings = pods.flat_map(|pod| pod["findings"].as_array().into_iter().flatten());
        findings.filter(move |finding| finding["severity"] == severity)
    }
}

/// The place of one scenario.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
    pub(crate) sabotage: Option<Sabotage>,
}

impl<'a> Scene<'a> {
    /// Makes the namespace.
    pub(crate) fn new(cluster: &'a Cluster, name: &str, sabotage: Option<Sabotage>) -> Result<Self> {
        let scene = Self { cluster, namespace: name.replace([' ', '_'], "-").to_lowercase(), sabotage };
        scene.make_namespace(&json!({}))?;
        Ok(scene)
    }

    fn make_namespace(&self, labels: &Value) -> Result {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels}});
        self.cluster.kubectl.apply(&[], &object.to_string())?;
        // A pod is refused until its namespace has the account that the controller manager makes.
        soon("the namespace's service account", || {
            let found = self.kubectl(&["get", "serviceaccount", "default"]).is_ok();
            Ok(if found { Look::Done(()) } else { Look::NotYet("it is not there".to_owned()) })
        })
    }

    /// Runs `kubectl` in this scenario's namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl.run(&[&["--namespace", &self.namespace], args].concat())
    }

    /// Returns objects of this scenario's namespace.
    pub(crate) fn objects(&self, args: &[&str]) -> Result<Value> {
        self.cluster.kubectl.json(&[&["--namespace", &self.namespace, "get"], args].concat())
    }

    /// Renders manifests for a small node.
    pub(crate) fn render(&self, model: &Model, args: &[&str]) -> Result<String> {
        let small: &[&str] = if args.contains(&"prepull") { &[] } else { &SMALL };
        run(self.cluster.modelcar().arg("render").arg(&model.image).args(self.release()).args(small).args(args))
    }

    /// Renders for the release of KServe that runs.
    pub(crate) fn release(&self) -> [String; 2] {
        let minor = self.cluster.parts.kserve.rsplit_once('.').map_or("", |(minor, _)| minor);
        ["--kserve-version".to_owned(), minor.to_owned()]
    }

    /// Returns whether the release that runs is `minor` of 0 or later.
    pub(crate) fn is_at_least(&self, minor: u32) -> bool {
        let parts: Vec<u32> = self.cluster.parts.kserve.split('.').filter_map(|part| part.parse().ok()).collect();
        parts.get(1).is_some_and(|own| *own >= minor)
    }

    /// Applies manifests, as they are.
    pub(crate) fn apply(&self, manifests: &str) -> Result {
        let manifests = match self.sabotage {
            Some(Sabotage::GroupAlone) => without_user(manifests),
            _ => manifests.to_owned(),
        };
        // A manifest that names a namespace is applied there.
        let namespace = ["--namespace", self.namespace.as_str()];
        let own: &[&str] = if manifests.contains("\n  namespace: ") { &[] } else { &namespace };
        self.cluster.kubectl.apply(own, &manifests)
    }

    /// Returns the pods with a label that are not about to go.
    pub(crate) fn pods(&self, label: &str) -> Result<Vec<Value>> {
        let list = self.objects(&["pod", "--selector", label])?;
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect())
    }

    /// Waits until `count` pods with the label are Ready, and no other one of them is there.
    pub(crate) fn ready_pods(&self, label: &str, count: usize) -> Result<Vec<Value>> {
        let found = slowly(&format!("{count} Ready pod(s) with {label}"), || {
            let pods = self.pods(label)?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let seen = format!("{} of {} pods are Ready", ready, pods.len());
            Ok(if ready == count && pods.len() == count { Look::Done(pods) } else { Look::NotYet(seen) })
        });
        // What a user would ask says why.
        found.map_err(|error| match self.check(&[]) {
            Ok(checked) => format!("{error}; modelcar check ({}): {}", checked.status, checked.first_error()).into(),
            Err(_) => error,
        })
    }

    /// Waits until an `InferenceService` is Ready with one pod, and returns the pod.
    pub(crate) fn service(&self, name: &str) -> Result<Value> {
        let mut pods = self.ready_pods(&service_label(name), 1)?;
        self.condition("isvc", name)?;
        pods.pop().ok_or_else(|| "no pod".into())
    }

    /// Waits for the condition Ready of a service itself.
    pub(crate) fn condition(&self, kind: &str, name: &str) -> Result {
        slowly(&format!("{kind}/{name} to be Ready"), || {
            let object = self.objects(&[kind, name])?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
            Ok(match ready {
                Some(condition) if condition["status"] == "True" => Look::Done(()),
                other => Look::NotYet(other.unwrap_or(&Value::Null).to_string()),
            })
        })
    }

    /// Returns everything of this namespace, and the nodes.
    pub(crate) fn documents(&self) -> Result<String> {
        self.kubectl(&["get", "isvc,llmisvc,deploy,rs,pod,events,nodes", "-o", "json"])
    }

    /// Runs `modelcar check` on everything of this namespace.
    pub(crate) fn check(&self, args: &[&str]) -> Result<Checked> {
        self.check_document(self.documents()?.as_bytes(), args)
    }

    /// Runs `modelcar check` on a document.
    pub(crate) fn check_document(&self, document: &[u8], args: &[&str]) -> Result<Checked> {
        let mut check = self.cluster.modelcar();
        let answer = output_of(check.args(["check", "-", "--format", "json"]).args(args), document)?;
        let status = answer.status.code().unwrap_or(-1);
        let report = serde_json::from_slice(&answer.stdout);
        let report = report.map_err(|_| format!("check ended with {status}: {}", text(&answer.stderr)))?;
        Ok(Checked { status, report })
    }

    /// Waits until `modelcar check` names one of `codes` as an error, and returns what it says.
    pub(crate) fn fails_with(&self, codes: &[&str], words: &str) -> Result<String> {
        self.says("error", 1, codes, words)
    }

    /// Waits until `modelcar check` says that a pod waits for one of `codes`, and returns what it says.
    pub(crate) fn waits_for(&self, codes: &[&str], words: &str) -> Result<String> {
        self.says("warning", 3, codes, words)
    }

    fn says(&self, severity: &'static str, status: i32, codes: &[&str], words: &str) -> Result<String> {
        slowly(&format!("check to say {codes:?}"), || {
            // A list without a pod is nothing that can be checked, and pods take a moment to be made.
            let checked = match self.check(&[]) {
                Ok(checked) => checked,
                Err(error) => return Ok(Look::NotYet(error.to_string())),
            };
            let found = checked.findings(severity).find(|finding| {
                let (code, message) = (finding["code"].as_str(), finding["message"].as_str());
                code.is_some_and(|code| codes.contains(&code)) && message.is_some_and(|said| said.contains(words))
            });
            Ok(match found {
                Some(finding) if checked.status == status => {
                    Look::Done(finding["message"].as_str().unwrap_or_default().to_owned())
                }
                _ => Look::NotYet(format!("{} {:?}: {}", checked.status, checked.errors(), checked.first_error())),
            })
        })
    }

    /// Asks a stand-in what it was given.
    pub(crate) fn seen(&self, pod: &Value) -> Result<Value> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let containers = pod["spec"]["containers"].as_array();
        let is_llm = containers.into_iter().flatten().any(|container| container["name"] == "main");
        let port = if is_llm { 8000 } else { 8080 };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/seen");
        Ok(serde_json::from_str(&self.cluster.kubectl.run(&["get", "--raw", &path])?)?)
    }

    /// Compares what the server reads with the source, and returns the number of files.
    pub(crate) fn same_files(seen: &Value, model: &Model) -> Result<usize> {
        let files: BTreeMap<String, String> = serde_json::from_value(seen["files"].clone())?;
        if files == model.files {
            return Ok(files.len());
        }
        let differs = model.files.iter().find(|(path, hash)| files.get(*path) != Some(hash));
        let extra = files.iter().find(|(path, _)| !model.files.contains_key(*path));
        Err(format!("the server sees other files than the source has: {differs:?}, {extra:?}").into())
    }

    /// Runs `modelcar inspect --lint` and returns its status with the codes of the findings, as `SEVERITY CODE`.
    pub(crate) fn lint(&self, image: &str) -> Result<(i32, Vec<String>)> {
        let mut lint = self.cluster.modelcar();
        let answer = output(lint.args(["inspect", image, "--lint", "--format", "json"]))?;
        let report: Value = serde_json::from_slice(&answer.stdout)
            .map_err(|_| format!("inspect --lint {image}: {}", text(&answer.stderr)))?;
        let platforms = report["platforms"].as_array().into_iter().flatten();
        let parts = platforms.chain([&report]).flat_map(|part| part["findings"].as_array().into_iter().flatten());
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let codes = parts.map(|finding| format!("{} {}", text(finding, "severity"), text(finding, "code"))).collect();
        Ok((answer.status.code().unwrap_or(-1), codes))
    }

    /// Lets the namespace go. Its end is not waited for.
    pub(crate) fn leave(&self) {
        self.cluster.kubectl.run(&["delete", "namespace", &self.namespace, "--wait=false"]).ok();
    }
}

/// The label by which KServe marks the pods of an `InferenceService`.
pub(crate) fn service_label(name: &str) -> String {
    format!("serving.kserve.io/inferenceservice={name}")
}

/// Returns whether a pod has the condition Ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Returns how often a container of a pod was started again.
pub(crate) fn restarts(pod: &Value, container: &str) -> u64 {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let own = statuses.into_iter().flatten().find(|status| status["name"] == container);
    own.and_then(|status| status["restartCount"].as_u64()).unwrap_or(0)
}

/// Puts back what the first manifests had: a group without a user.
fn without_user(manifests: &str) -> String {
    let lines = manifests.lines().filter(|line| !line.trim_start().starts_with("runAsUser:"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Pushes a folder into the open registry.
pub(crate) fn push(cluster: &Cluster, folder: &Path, name: &str, args: &[&str]) -> Result<Model> {
    push_to(cluster, folder, registry::OPEN, name, args)
}

/// Pushes a folder into a registry.
pub(crate) fn push_to(cluster: &Cluster, folder: &Path, registry: &str, name: &str, args: &[&str]) -> Result<Model> {
    let image = format!("{registry}/models/{name}:v1");
    let mut push = cluster.modelcar();
    push.arg("push").arg(folder).arg(&image).args(args);
    push.env("MODELCAR_REGISTRY_USERNAME", registry::USER).env("MODELCAR_REGISTRY_PASSWORD", registry::PASSWORD);
    let image = run(&mut push)?.trim().to_owned();
    let mut files = BTreeMap::new();
    hash_files(folder, folder, &mut files)?;
    Ok(Model { image, files })
}

fn hash_files(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            hash_files(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root)?.display().to_string();
            files.insert(name, hex(&Sha256::digest(fs::read(&path)?)));
        }
    }
    Ok(())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Gives the cluster a moment; only where there is nothing to wait for.
pub(crate) fn pause(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}
