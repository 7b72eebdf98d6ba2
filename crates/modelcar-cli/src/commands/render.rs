//! `modelcar render`: writes the KServe manifests that serve an image.
//!
//! The facts of the model are read from the image's annotations. Warnings go to stderr, so that stdout can be piped
//! into `kubectl apply -f -`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use modelcar_core::{ImageRef, inspect};
use modelcar_kserve::{
    KserveVersion,
    render::{
        self, Autoscaler, Commands, Delivery, DeploymentMode, DeploymentStrategy, Kind, Lora, RenderError,
        RenderOptions, Rendered, ServedImage, SidecarUser, objects::Toleration,
    },
};

use super::{Outcome, place};
use crate::{
    args::{LoginArgs, RegistryArgs, key_value, utf8},
    clients::Clients,
    hint::Failure,
    remedies, resolve, ui,
};

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  IMAGE=$(modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1)
  modelcar render $IMAGE --gpu-type nvidia-l4 | kubectl apply -f -
  modelcar render $IMAGE --kind smoke-test --runtime-version v0.23.0
  modelcar render $IMAGE --custom-container vllm/vllm-openai:v0.23.0 --native
  modelcar render $IMAGE --kind admission-pod | kubectl create --dry-run=server -o json -f - | modelcar check --admission -";

/// What is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderKind {
    /// An inference service
    #[default]
    InferenceService,
    /// An LLM inference service (`v1alpha2`)
    LlmInferenceService,
    /// An inference service in a namespace of its own, with commands to try and to remove it
    SmokeTest,
    /// A daemon set that pulls the image on labelled nodes
    Prepull,
    /// A pod for a dry run, which shows what KServe's webhook injects; it is never created
    AdmissionPod,
    /// Settings of containerd and other container runtimes for fast pulls; no manifest
    NodeConfig,
}

/// How the pods of a Deployment are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderStrategy {
    /// All old pods end before new ones start
    Recreate,
    /// One after another: an old pod ends before its new one starts (maxSurge 0)
    NoSurge,
}

/// How KServe deploys an `InferenceService`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderMode {
    /// A Deployment (`RawDeployment` before 0.16)
    #[default]
    Standard,
    /// A Knative service, which scales to zero (`Serverless` before 0.16)
    Knative,
}

/// What sets the number of replicas in the standard mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RenderAutoscaler {
    /// The horizontal pod autoscaler; never below one replica
    Hpa,
    /// KEDA
    Keda,
    /// Something that KServe leaves alone
    External,
    /// Nothing: minReplicas is the number of replicas
    None,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RenderArgs {
    /// Image, pinned: REGISTRY/REPOSITORY@sha256:…
    #[arg(value_parser = utf8())]
    pub(crate) image: String,
    /// What to render
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kind: RenderKind,
    /// Release of KServe to render for, 0.15 to 0.21
    #[arg(long, value_name = "VERSION", default_value_t)]
    pub(crate) kserve_version: KserveVersion,
    /// Pin a tag to the digest that it points to now
    #[arg(long)]
    pub(crate) resolve: bool,
    /// Fill this template (Jinja) instead of printing the manifests
    ///
    /// `yaml` holds the manifests; https://github.com/modelcar/modelcar/blob/main/docs/kserve.md describes the values.
    #[expect(clippy::doc_markdown, reason = "the comment is a help text")]
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Run this server image instead of a runtime; the server must accept vLLM's arguments
    #[arg(long, value_name = "IMAGE")]
    pub(crate) custom_container: Option<String>,
    /// Mount the image as a volume, oci+native:// (KServe 0.20, Kubernetes 1.35)
    #[arg(long)]
    pub(crate) native: bool,
    /// Let KServe download the image, oci+fetch:// (KServe 0.21); it checks no digest
    #[arg(long, conflicts_with = "native")]
    pub(crate) fetch: bool,
    /// Write storageUris instead of storageUri (KServe 0.19)
    #[arg(long)]
    pub(crate) storage_uris: bool,
    /// Adapter to serve beside the model, from an image of its own (KServe 0.20, vLLM; can be repeated)
    #[arg(long, value_name = "NAME=IMAGE", value_parser = key_value)]
    pub(crate) lora: Vec<(String, String)>,
    /// Name of the service; default: from the model's name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Namespace
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Name of the model in requests; default: the service's name
    #[arg(long, value_name = "NAME")]
    pub(crate) served_name: Option<String>,
    /// How KServe deploys the service
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: RenderMode,
    /// What sets the number of replicas (standard mode)
    #[arg(long, value_enum)]
    pub(crate) autoscaler: Option<RenderAutoscaler>,
    /// How a Deployment replaces its pods, for clusters without a spare GPU (standard mode)
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) deployment_strategy: Option<RenderStrategy>,
    /// Least number of replicas
    #[arg(long, value_name = "N")]
    pub(crate) min_replicas: Option<u32>,
    /// Largest number of replicas
    #[arg(long, value_name = "N")]
    pub(crate) max_replicas: Option<u32>,
    /// Serving runtime; default: by model and release
    #[arg(long)]
    pub(crate) runtime: Option<String>,
    /// Model format; default: by model and release
    #[arg(long, value_name = "FORMAT")]
    pub(crate) model_format: Option<String>,
    /// Image in place of the runtime's, by its digest: KServe rewrites tags
    #[arg(long, value_name = "IMAGE")]
    pub(crate) runtime_image: Option<String>,
    /// Tag of the runtime's image; with a GPU kserve-huggingfaceserver needs one that ends in -gpu
    #[arg(long, value_name = "TAG", conflicts_with = "runtime_image")]
    pub(crate) runtime_version: Option<String>,
    /// Number of GPUs; default: 1 for models that generate text
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1024))]
    pub(crate) gpus: Option<u32>,
    /// Pods that share the model's layers, each with --gpus GPUs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline_parallel: u32,
    /// GPU type as GKE labels nodes, for example nvidia-l4
    #[arg(long, value_name = "TYPE")]
    pub(crate) gpu_type: Option<String>,
    /// Resource that counts GPUs
    #[arg(long, value_name = "RESOURCE", default_value = "nvidia.com/gpu")]
    pub(crate) gpu_resource: String,
    /// CPU; default: 4 for each GPU
    #[arg(long)]
    pub(crate) cpu: Option<String>,
    /// Memory; default: by weights and GPUs
    #[arg(long)]
    pub(crate) memory: Option<String>,
    /// Request for disk that the server writes to; default: 10Gi
    #[arg(long, value_name = "SIZE")]
    pub(crate) ephemeral_storage: Option<String>,
    /// Label of the nodes that may run the pods (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) node_selector: Vec<(String, String)>,
    /// Taint to tolerate: KEY or KEY=VALUE, optionally with :EFFECT (can be repeated)
    #[arg(long, value_name = "TAINT")]
    pub(crate) toleration: Vec<Toleration>,
    /// Label of the objects (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) label: Vec<(String, String)>,
    /// Annotation of the objects (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) annotation: Vec<(String, String)>,
    /// User of KServe's sidecars: uidModelcar of its configuration
    ///
    /// It stands in the `ConfigMap` inferenceservice-config. The pod gets it, with group 0. `none` writes neither, for
    /// namespaces that set the user themselves (OpenShift). With --native it is the server's user.
    #[arg(long, value_name = "N|none", default_value_t, allow_hyphen_values = true)]
    pub(crate) kserve_uid: SidecarUser,
    /// Service account
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,
    /// Secret that the kubelet pulls the image with (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) image_pull_secret: Vec<String>,
    /// Further argument of the server (can be repeated)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) arg: Vec<String>,
    /// Further variable of the server's environment (can be repeated)
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) env: Vec<(String, String)>,
    /// Longest sequence in tokens; default: the model's own
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_model_len: Option<u64>,
    /// How the server reads the weights, in its own words, for example `runai_streamer`
    #[arg(long, value_name = "FORMAT")]
    pub(crate) load_format: Option<String>,
    /// Let the server run Python code that the model brings
    #[arg(long)]
    pub(crate) trust_remote_code: bool,
    /// Leave the scheduler out of an LLM inference service
    #[arg(long)]
    pub(crate) no_scheduler: bool,
    /// Create the service stopped (annotation serving.kserve.io/stop)
    #[arg(long)]
    pub(crate) stop: bool,
    /// Render although files of the model are missing or broken (`modelcar push --allow-incomplete`)
    #[arg(long)]
    pub(crate) allow_incomplete: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

impl RenderArgs {
    /// Returns the library's options, without the adapters, whose images have to be read. No value is checked here.
    pub(crate) fn options(&self) -> RenderOptions {
        RenderOptions {
            kind: match self.kind {
                RenderKind::InferenceService => Kind::InferenceService,
                RenderKind::LlmInferenceService => Kind::LlmInferenceService,
                RenderKind::SmokeTest => Kind::SmokeTest,
                RenderKind::Prepull => Kind::Prepull,
                RenderKind::AdmissionPod => Kind::AdmissionPod,
                // No manifest: `run` answers it before these options count.
                RenderKind::NodeConfig => Kind::default(),
            },
            version: self.kserve_version,
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            served_name: self.served_name.clone(),
            custom_container: self.custom_container.clone(),
            delivery: match (self.native, self.fetch) {
                (true, _) => Delivery::Native,
                (false, true) => Delivery::Fetch,
                (false, false) => Delivery::Sidecar,
            },
            storage_uris: self.storage_uris,
            loras: Vec::new(),
            mode: match self.mode {
                RenderMode::Standard => DeploymentMode::Standard,
                RenderMode::Knative => DeploymentMode::Knative,
            },
            autoscaler: self.autoscaler.map(|autoscaler| match autoscaler {
                RenderAutoscaler::Hpa => Autoscaler::Hpa,
                RenderAutoscaler::Keda => Autoscaler::Keda,
                RenderAutoscaler::External => Autoscaler::External,
                RenderAutoscaler::None => Autoscaler::None,
            }),
            deployment_strategy: self.deployment_strategy.map(|strategy| match strategy {
                RenderStrategy::Recreate => DeploymentStrategy::Recreate,
                RenderStrategy::NoSurge => DeploymentStrategy::NoSurge,
            }),
            min_replicas: self.min_replicas,
            max_replicas: self.max_replicas,
            runtime: self.runtime.clone(),
            model_format: self.model_format.clone(),
            runtime_image: self.runtime_image.clone(),
            runtime_version: self.runtime_version.clone(),
            gpus: self.gpus,
            pipeline_parallel: self.pipeline_parallel,
            gpu_resource: self.gpu_resource.clone(),
            gpu_type: self.gpu_type.clone(),
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            ephemeral_storage: self.ephemeral_storage.clone(),
            node_selector: self.node_selector.iter().cloned().collect(),
            tolerations: self.toleration.clone(),
            labels: self.label.iter().cloned().collect(),
            annotations: self.annotation.iter().cloned().collect(),
            kserve_uid: self.kserve_uid,
            service_account: self.service_account.clone(),
            image_pull_secrets: self.image_pull_secret.clone(),
            args: self.arg.clone(),
            env: self.env.clone(),
            max_model_len: self.max_model_len,
            load_format: self.load_format.clone(),
            trust_remote_code: self.trust_remote_code,
            no_scheduler: self.no_scheduler,
            stop: self.stop,
            allow_incomplete: self.allow_incomplete,
        }
    }
}

/// Renders. A tag is refused without `--resolve`, because the pods would change when somebody moves the tag.
pub(crate) async fn run(args: RenderArgs) -> Result<Outcome, Failure> {
    let mut options = args.options();
    options.check()?;
    let template = args.template.as_ref().map(|file| {
        fs::read_to_string(file).map_err(|error| {
            let act = format!("read template `{}`", file.display());
            Failure::of_read(error, act, "check the path in --template")
        })
    });
    let template = template.transpose()?;
    let served = read(&args.image, &args).await?;
    if args.kind == RenderKind::NodeConfig {
        return match template {
            Some(_) => {
                Err(Failure::say("`node-config` is no manifest, and fills no template").hint("leave --template out"))
            }
            None => Ok(Outcome::Answer(render::node_config(&served))),
        };
    }
    for (name, image) in &args.lora {
        options.loras.push(Lora { name: name.clone(), image: read(image, &args).await? });
    }
    let words: Result<Vec<_>, _> = std::env::args_os().skip(1).map(OsString::into_string).collect();
    let rendered = rendered(&served, &options, &words.unwrap_or_default())?;
    for warning in &rendered.warnings {
        let remedy = remedies::of_render(warning).map(|remedy| format!(". {remedy}")).unwrap_or_default();
        ui::warn(&format!("{warning}{remedy}"));
    }
    Ok(Outcome::Answer(match template {
        Some(template) => rendered.fill(&template).map_err(|error| {
            let file = args.template.as_deref().unwrap_or(Path::new(""));
            Failure::from(error).during(format!("fill template `{}`", file.display()))
        })?,
        None => rendered.to_yaml()?,
    }))
}

/// Reads what an image says of itself, and pins it.
async fn read(name: &str, args: &RenderArgs) -> Result<ServedImage, Failure> {
    let image: ImageRef = resolve::without_scheme(name).parse()?;
    let progress = ui::waiting("ask the registry");
    let connection = Clients::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.repository(&image, &progress)?;
    let inspection = inspect::registry(&repository, &image).await;
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => return Err(place::failure(&repository, error, name).await),
    };
    if image.digest().is_none() && !args.resolve {
        let pinned = image.with_digest(&inspection.digest);
        return Err(Failure::say(format!("image `{image}` is named by a tag, which may move"))
            .hint(format!("name the digest it points to now, {pinned}, or let --resolve pin it")));
    }
    Ok(ServedImage::new(&image, &inspection))
}

/// Renders what the options ask for. The comment in the YAML names options and commands of `modelcar`; `words` are those
/// of the command line, without the program's.
fn rendered(served: &ServedImage, options: &RenderOptions, words: &[String]) -> Result<Rendered, RenderError> {
    let rendered = render::render(served, options)?;
    let commands = Commands { render: again(served, words), ..commands(served, options) };
    Ok(rendered.with_commands(&commands).with_remedies(remedies::of_render))
}

/// Returns the command that renders the same for the word IMAGE: the image itself stands in the manifest, where `pin`
/// changes the digest. Nothing where a shell could read another command out of the words.
fn again(served: &ServedImage, words: &[String]) -> String {
    let is_image = |word: &str| {
        let named = resolve::without_scheme(word).parse::<ImageRef>();
        named.is_ok_and(|image| image == served.image)
    };
    if words.is_empty() {
        return String::new();
    }
    let words = words.iter().filter(|word| *word != "--resolve");
    let words = words.map(|word| if is_image(word) { "IMAGE" } else { word.as_str() });
    let line = shlex::try_join(["modelcar"].into_iter().chain(words)).unwrap_or_default();
    if line.chars().any(char::is_control) { String::new() } else { line }
}

/// Returns the commands that try what is rendered. Everything in them was checked: it holds nothing that a shell acts on.
fn commands(served: &ServedImage, options: &RenderOptions) -> Commands {
    let image = served.image.with_digest(&served.digest);
    let name = options.name.as_ref().map(|name| format!(" --name {name}")).unwrap_or_default();
    // The namespace of a smoke test is made for it.
    let own_name = || options.name.clone().unwrap_or_else(|| served.default_name());
    let made = (options.kind == Kind::SmokeTest).then(|| format!("smoke-{}", own_name()));
    let namespace = options.namespace.clone().or(made);
    let there = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let delivery = match options.delivery {
        Delivery::Sidecar => "",
        Delivery::Native => " --native",
        Delivery::Fetch => " --fetch",
    };
    let version = match options.version {
        version if version == KserveVersion::default() => String::new(),
        version => format!(" --kserve-version {version}"),
    };
    Commands {
        render: String::new(),
        check: format!("modelcar check - --expect {}", served.digest),
        admission: format!(
            "modelcar render {image} --kind admission-pod{name}{there}{delivery}{version} | kubectl create{there} \
             --dry-run=server -o json -f - | modelcar check --admission -"
        ),
    }
}

#[cfg(test)]
mod tests;
