//! KServe as it is released: its resource definitions, configuration, runtimes, webhooks and both of its controllers.
//!
//! Everything is read from the module that the controllers are built from. What is changed for a cluster of one node
//! without a service network: webhooks are called by URL, services are deployed in the standard mode, and nothing is
//! made for gateways.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    control_plane::Identity,
    kubectl::Kubectl,
    parts::Parts,
    program::{Programs, answers},
    wait::{Look, Result, soon},
};

/// The namespace of KServe's own objects.
const NAMESPACE: &str = "kserve";
/// Runtimes that manifests of models name.
const RUNTIMES: [&str; 2] = ["kserve-huggingfaceserver", "kserve-vllmserver"];

/// A controller with its webhooks.
struct Controller {
    /// Name of its log.
    name: &'static str,
    program: &'static str,
    webhook_port: u16,
    health_port: u16,
    metrics_port: u16,
}

const CONTROLLERS: [Controller; 2] = [
    Controller { name: "kserve", program: "manager", webhook_port: 9443, health_port: 8081, metrics_port: 8082 },
    Controller { name: "kserve-llm", program: "llmisvc", webhook_port: 9444, health_port: 8083, metrics_port: 8084 },
];

/// KServe's files, and where it is started.
#[derive(Debug)]
pub(crate) struct Kserve {
    config: PathBuf,
    state: PathBuf,
    identity: Identity,
}

impl Kserve {
    pub(crate) fn new(parts: &Parts, state: &Path, identity: &Identity) -> Result<Self> {
        let config = parts.kserve_source()?.join("config");
        Ok(Self { config, state: state.join("kserve"), identity: identity.clone() })
    }

    /// Returns the images that runtimes and templates name, which the test registry must have.
    pub(crate) fn images(&self) -> Result<Vec<String>> {
        let mut images = Vec::new();
        for document in self.runtimes()?.iter().chain(&self.templates()?) {
            collect_images(document, &mut images);
        }
        images.sort();
        images.dedup();
        Ok(images)
    }

    /// Installs KServe and waits until it acts.
    pub(crate) fn start(&self, parts: &Parts, kubectl: &Kubectl, programs: &mut Programs) -> Result {
        let definitions = self.definitions()?;
        kubectl.feed(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list(&definitions))?;
        for definition in ["inferenceservices", "llminferenceservices", "clusterservingruntimes"] {
            let name = format!("crd/{definition}.serving.kserve.io");
            // A definition that has just been made has no conditions yet, which the client calls an error.
            soon(&format!("the definition of {definition}"), || {
                let found = kubectl.run(&["wait", "--for=condition=Established", "--timeout=20s", &name]);
                Ok(found.map_or_else(|error| Look::NotYet(error.to_string()), |_| Look::Done(())))
            })?;
        }
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        kubectl.apply(&[], &list(&[namespace, self.settings()?]))?;
        for controller in &CONTROLLERS {
            self.start_controller(controller, parts, programs)?;
        }
        for controller in &CONTROLLERS {
            soon(&format!("the controller {}", controller.name), || {
                programs.all_run()?;
                let ready = answers(controller.health_port, "/readyz");
                Ok(if ready { Look::Done(()) } else { Look::NotYet("it does not answer".to_owned()) })
            })?;
        }
        kubectl.apply(&[], &list(&self.webhooks()?))?;
        // Runtimes and templates are looked at by the webhooks, which may need a moment more than their health check.
        soon("KServe's webhooks", || {
            let objects = list(&[self.runtimes()?, self.templates()?].concat());
            Ok(match kubectl.apply(&["--namespace", NAMESPACE], &objects) {
                Ok(()) => Look::Done(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
    }

    fn start_controller(&self, controller: &Controller, parts: &Parts, programs: &mut Programs) -> Result {
        // Where controllers look for their certificate follows from the folder of temporary files.
        let temporary = self.state.join(controller.name);
        let certificates = temporary.join("k8s-webhook-server/serving-certs");
        fs::create_dir_all(&certificates)?;
        fs::copy(self.identity.file("webhook.crt"), certificates.join("tls.crt"))?;
        fs::copy(self.identity.file("webhook.key"), certificates.join("tls.key"))?;
        let mut command = Command::new(parts.program(controller.program));
        command.arg(format!("--webhook-port={}", controller.webhook_port));
        command.arg(format!("--health-probe-addr=127.0.0.1:{}", controller.health_port));
        command.arg(format!("--metrics-addr=127.0.0.1:{}", controller.metrics_port));
        command.env("POD_NAMESPACE", NAMESPACE).env("TMPDIR", &temporary);
        programs.start(controller.name, command.env("KUBECONFIG", self.identity.file("kubeconfig")))
    }

    fn definitions(&self) -> Result<Vec<Value>> {
        let mut definitions = Vec::new();
        for folder in ["crd/full", "crd/full/llmisvc", "crd/full/clusterstoragecontainer"] {
            let folder = self.config.join(folder);
            for file in files(&folder).into_iter().filter(|file| starts_with(file, "serving.kserve.io_")) {
                definitions.extend(documents(&file)?);
            }
        }
        for definition in &mut definitions {
            // Generated files carry a status, which the API server would take for a wish.
            if let Some(fields) = definition.as_object_mut() {
                fields.remove("status");
            }
            if definition["spec"]["names"]["kind"].as_str().is_some_and(|kind| kind.starts_with("LLM")) {
                let client = self.webhook_client(&CONTROLLERS[1], "/convert");
                definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
                    "clientConfig": client, "conversionReviewVersions": ["v1", "v1beta1"]}});
            }
        }
        Ok(definitions)
    }

    /// Returns the `ConfigMap` of the release, changed where this cluster is smaller.
    fn settings(&self) -> Result<Value> {
        let file = self.config.join("configmap/inferenceservice.yaml");
        let mut settings = documents(&file)?.into_iter().next().ok_or("KServe's configuration is empty")?;
        settings["metadata"]["namespace"] = json!(NAMESPACE);
        let mut ingress: Value = serde_json::from_str(settings["data"]["ingress"].as_str().unwrap_or("{}"))?;
        ingress["disableIngressCreation"] = json!(true);
        ingress["disableIstioVirtualHost"] = json!(true);
        settings["data"]["ingress"] = json!(ingress.to_string());
        settings["data"]["deploy"] = json!(json!({"defaultDeploymentMode": "Standard"}).to_string());
        Ok(settings)
    }

    fn runtimes(&self) -> Result<Vec<Value>> {
        let folder = self.config.join("runtimes");
        let names = documents(&folder.join("kustomization.yaml"))?;
        let names = names.first().and_then(|file| file["images"].as_array()).cloned().unwrap_or_default();
        let mut runtimes = Vec::new();
        for runtime in RUNTIMES {
            let file = folder.join(format!("{runtime}.yaml"));
            if file.exists() {
                runtimes.extend(documents(&file)?);
            }
        }
        for container in
            runtimes.iter_mut().filter_map(|runtime| runtime["spec"]["containers"].as_array_mut()).flatten()
        {
            let image = container["image"].as_str().unwrap_or_default();
            let plain = image.split(':').next().unwrap_or_default();
            if let Some(name) = names.iter().find(|name| name["name"] == plain) {
                let text = |key: &str| name[key].as_str().unwrap_or_default().to_owned();
                container["image"] = json!(format!("{}:{}", text("newName"), text("newTag")));
            }
        }
        Ok(runtimes)
    }

    /// Returns the templates of `LLMInferenceService`s.
    fn templates(&self) -> Result<Vec<Value>> {
        let mut templates = Vec::new();
        for file in files(&self.config.join("llmisvcconfig")).into_iter().filter(|file| starts_with(file, "config-")) {
            templates.extend(documents(&file)?);
        }
        Ok(templates)
    }

    fn webhooks(&self) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        for (file, controller) in
            [("webhook/manifests.yaml", &CONTROLLERS[0]), ("webhook/llmisvc/manifests.yaml", &CONTROLLERS[1])]
        {
            for mut document in documents(&self.config.join(file))? {
                for webhook in document["webhooks"].as_array_mut().into_iter().flatten() {
                    let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap_or_default().to_owned();
                    webhook["clientConfig"] = self.webhook_client(controller, &path);
                }
                all.push(document);
            }
        }
        Ok(all)
    }

    fn webhook_client(&self, controller: &Controller, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", controller.webhook_port),
            "caBundle": base64(self.identity.authority.as_bytes())})
    }
}

/// Returns the names of KServe's controllers among the programs.
pub(crate) fn controllers() -> [&'static str; 2] {
    CONTROLLERS.map(|controller| controller.name)
}

/// Changes the settings of OCI images in the cluster's configuration; `null` takes one out.
pub(crate) fn set_oci(kubectl: &Kubectl, changes: &Value) -> Result {
    let object = ["configmap", "inferenceservice-config", "--namespace", NAMESPACE];
    let now = kubectl.json(&[&["get"], &object[..]].concat())?;
    let mut settings: Value = serde_json::from_str(now["data"]["storageInitializer"].as_str().unwrap_or("{}"))?;
    if let (Some(fields), Some(changes)) = (settings.as_object_mut(), changes.as_object()) {
        for (name, value) in changes {
            if value.is_null() {
                fields.remove(name)
            } else {
                fields.insert(name.clone(), value.clone())
            };
        }
    }
    kubectl.patch(&object, &json!({"data": {"storageInitializer": settings.to_string()}}))
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn starts_with(file: &Path, start: &str) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// Reads the documents of a YAML file.
pub(crate) fn documents(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let documents = serde_saphyr::from_multiple::<Value>(&text);
    let documents = documents.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}

fn collect_images(value: &Value, images: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(image) = fields.get("image").and_then(Value::as_str) {
                images.push(image.to_owned());
            }
            fields.values().for_each(|value| collect_images(value, images));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_images(value, images)),
        _ => {}
    }
}

/// Encodes bytes as the API wants them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
