//! The comment above the manifests: what it is, and what it needs.

use modelcar_core::text::one_line;

use super::{
    options::Kind,
    resolved::{Family, Resolved},
    warning::Warning,
};
use crate::sizing::{NodeDisk, PODS_BYTES, SYSTEM_BYTES};

const GIB: u64 = 1 << 30;

/// Shell commands of the caller for the comment: what made the objects, and what tries them. They name a program of the
/// caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands {
    /// Renders the same objects again; empty where no command does.
    pub render: String,
    /// Reads pods as JSON from its stdin and says whether they serve.
    pub check: String,
    /// Asks KServe's webhook what it injects into a pod of the service, in the namespace of the service.
    pub admission: String,
}

/// The comment, but for its warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    facts: Vec<String>,
    /// The caller's command that renders the same.
    made_by: Option<String>,
    steps: Vec<Step>,
}

/// A line of the commands to try what is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Line(String),
    /// A line that prints pods, for the caller's check to read.
    Pods(String),
    /// The place of the caller's question to the webhook, with what stands before it and what stands there otherwise.
    Admission(&'static str, String),
}

impl Comment {
    pub(super) fn new(resolved: &Resolved<'_>) -> Self {
        let mut facts = vec![title(resolved)];
        facts.extend(model(resolved));
        facts.extend(gpu(resolved));
        if resolved.options.kind != Kind::AdmissionPod {
            facts.extend(disk(resolved));
            facts.push(format!("Pull: {}.", resolved.served.pull));
        }
        facts.push(format!("For KServe {}.", resolved.options.version));
        Self { facts, made_by: None, steps: steps(resolved) }
    }

    /// Puts the caller's commands into their places.
    pub(super) fn check_with(&mut self, commands: &Commands) {
        self.made_by = Some(commands.render.clone()).filter(|command| !command.is_empty());
        for step in &mut self.steps {
            *step = Step::Line(match step {
                Step::Line(line) => std::mem::take(line),
                Step::Pods(line) => format!("{line} -o json | {}", commands.check),
                Step::Admission(before, _) => format!("{before}{}", commands.admission),
            });
        }
    }

    /// Returns the lines, with the remedy of each warning behind it.
    pub(super) fn lines(&self, warnings: &[Warning], remedies: &[Option<String>]) -> Vec<String> {
        let mut lines = self.facts.clone();
        lines.extend(self.made_by.iter().map(|command| format!("Rendered with:  {}", one_line(command))));
        for (at, warning) in warnings.iter().enumerate() {
            let remedy = remedies.get(at).and_then(Option::as_ref);
            let remedy = remedy.map(|remedy| format!(" {}.", one_line(remedy))).unwrap_or_default();
            wrap(&format!("Warning: {warning}.{remedy}"), &mut lines);
        }
        lines.extend(self.steps.iter().map(Step::text));
        lines
    }
}

fn title(resolved: &Resolved<'_>) -> String {
    let served = resolved.served;
    let name = served.title.as_deref().unwrap_or_else(|| served.image.repository());
    match (&served.revision, &served.version) {
        (Some(commit), Some(version)) if commit != version => format!("{name} at {commit} ({version})"),
        (Some(commit), _) => format!("{name} at {commit}"),
        (None, _) => name.to_owned(),
    }
}

fn model(resolved: &Resolved<'_>) -> Option<String> {
    let facts = &resolved.served.facts;
    let parts: Vec<String> = [
        facts.architecture.clone(),
        facts.parameters.map(|count| format!("{} parameters", short(count))),
        facts.dtype.clone(),
        facts
            .quantization
            .as_ref()
            .filter(|kind| facts.dtype.as_ref() != Some(*kind))
            .map(|kind| format!("quantized with {kind}")),
        facts.context_length.map(|tokens| format!("{tokens} tokens of context")),
        facts.weight_bytes.map(|bytes| format!("{} of weights", small(bytes))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("{}.", parts.join(", ")))
}

fn gpu(resolved: &Resolved<'_>) -> Option<String> {
    let need = resolved.gpu_memory().filter(|_| resolved.gpus > 0 && resolved.has_server())?;
    let cache = match (need.cache, resolved.sequence()) {
        (1.., Some(tokens)) => format!(" + {} cache of one sequence of {tokens} tokens", gib(need.cache)),
        _ => String::new(),
    };
    let gpus = match resolved.all_gpus() {
        1 => String::new(),
        gpus => format!(" on {gpus} GPUs"),
    };
    let percent = resolved.gpu_percent();
    Some(format!(
        "GPU memory: {} = {} weights{cache} + {} runtime{gpus}; the server takes {percent} % of the GPUs' memory.",
        gib(need.total()),
        gib(need.weights),
        gib(need.runtime)
    ))
}

fn disk(resolved: &Resolved<'_>) -> Vec<String> {
    let server = resolved.server_bytes();
    let disk = NodeDisk::beside(resolved.served.bytes, server);
    let others = SYSTEM_BYTES + PODS_BYTES;
    let counted = if server > 0 { format!(" + {} server", gib(server)) } else { String::new() };
    let mut lines = vec![
        format!(
            "Node disk: {} with containerd; {} at rest with discard_unpacked_layers or CRI-O, {} at peak.",
            gib(disk.containerd.rest),
            gib(disk.crio.rest),
            gib(disk.crio.peak)
        ),
        format!(
            "GKE boot disk: {} GiB >= ({}{counted} + {}) / 0.85; {} reserved, {} for eviction, {} for pods.",
            disk.gke.gib,
            gib(disk.containerd.peak),
            gib(others),
            disk.gke.reserved_gib,
            disk.gke.eviction_gib,
            disk.gke.allocatable_gib
        ),
    ];
    if resolved.options.kind == Kind::Prepull {
        lines.push("The image of a server for GPUs comes on top of it.".to_owned());
    }
    lines
}

impl Step {
    fn text(&self) -> String {
        match self {
            Self::Line(line) | Self::Pods(line) => line.clone(),
            Self::Admission(before, otherwise) => format!("{before}{otherwise}"),
        }
    }
}

fn steps(resolved: &Resolved<'_>) -> Vec<Step> {
    let lines = match resolved.options.kind {
        Kind::InferenceService => return told(service(resolved, "isvc")),
        Kind::LlmInferenceService => return told(service(resolved, "llmisvc")),
        Kind::SmokeTest => return smoke_test(resolved),
        Kind::AdmissionPod => {
            let ask = "kubectl create --dry-run=server -o json -f FILE".to_owned();
            return vec![Step::Line(String::new()), Step::Admission("Ask KServe's webhook:  ", ask)];
        }
        Kind::Prepull => prepull(resolved),
    };
    told(lines)
}

fn told(lines: Vec<String>) -> Vec<Step> {
    lines.into_iter().map(Step::Line).collect()
}

/// Returns ` -n NAMESPACE`, where one is named.
fn there(resolved: &Resolved<'_>) -> String {
    resolved.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default()
}

/// The commands of a service's life; `kind` is its short name.
fn service(resolved: &Resolved<'_>, kind: &str) -> Vec<String> {
    let (name, there) = (&resolved.name, there(resolved));
    vec![
        String::new(),
        "Validate:  kubectl apply --dry-run=server -f FILE".to_owned(),
        format!("Pause:  kubectl annotate {kind}/{name}{there} serving.kserve.io/stop=true --overwrite"),
        format!("Resume:  kubectl annotate {kind}/{name}{there} serving.kserve.io/stop-"),
    ]
}

/// The injection is looked at first: it takes a second, and needs neither the image nor a GPU.
fn smoke_test(resolved: &Resolved<'_>) -> Vec<Step> {
    let (name, there) = (&resolved.name, there(resolved));
    let pod = format!("kubectl get pod{there} -l serving.kserve.io/inferenceservice={name}");
    let minutes = resolved.served.pull.minutes_to_ready(resolved.server_bytes() > 0);
    let mut steps = told(vec![String::new(), "Try it:".to_owned(), "  kubectl apply -f FILE".to_owned()]);
    steps.push(Step::Admission("  ", pod.clone()));
    steps.push(Step::Line(format!("  kubectl wait{there} --for=condition=Ready --timeout={minutes}m isvc/{name}")));
    steps.push(Step::Pods(format!("  {pod}")));
    steps.extend(told(vec![
        format!("  kubectl port-forward{there} $({pod} -o name | head -n 1) 8080:8080 &"),
        format!("  curl {}", request(resolved)),
        "Remove it:".to_owned(),
        if resolved.is_scratch {
            format!("  kubectl delete namespace {}", resolved.namespace.as_deref().unwrap_or_default())
        } else {
            format!("  kubectl delete isvc/{name}{there}")
        },
    ]));
    steps
}

/// Returns the request that tries the model, as `curl` takes it: a chat where the model can, or else the list of models.
fn request(resolved: &Resolved<'_>) -> String {
    let host = "http://127.0.0.1:8080";
    let chats = resolved.served.facts.chat_template == Some(true) && resolved.runs_vllm();
    if !chats {
        return format!("{host}/v1/models");
    }
    // KServe's own server has the paths of OpenAI below one of its own.
    let root = if resolved.server.family == Family::HuggingFace { "/openai" } else { "" };
    let message = r#""messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16"#;
    let name = &resolved.served_name;
    format!(
        "{host}{root}/v1/chat/completions -H 'Content-Type: application/json' -d '{{\"model\": \"{name}\", {message}}}'"
    )
}

fn prepull(resolved: &Resolved<'_>) -> Vec<String> {
    let mut lines = vec![String::new()];
    if resolved.node_selector().is_empty() {
        lines.push("Choose nodes:  kubectl label node NODE modelcar.io/prepull=true".to_owned());
    }
    let set = format!("daemonset/prepull-{}{}", resolved.name, there(resolved));
    let minutes = resolved.served.pull.minutes_to_ready(false).max(60);
    lines.push(format!("See that nodes fit (DESIRED is not 0):  kubectl get {set}"));
    lines.push(format!("Wait for it:  kubectl rollout status {set} --timeout={minutes}m"));
    lines.push(format!("Remove it:  kubectl delete {set}"));
    lines
}

/// Widest line of the comment, without `# `.
const WIDTH: usize = 110;

fn wrap(text: &str, lines: &mut Vec<String>) {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, " ".to_owned()));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
}

/// Formats bytes in GiB with one decimal, rounded up: these are sizes to provide.
fn gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(GIB));
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Formats bytes as [`gib`] does, and less than a tenth of a GiB in MiB.
fn small(bytes: u64) -> String {
    if bytes > GIB / 10 { gib(bytes) } else { format!("{} MiB", bytes.div_ceil(1 << 20)) }
}

/// Formats a count with three digits at most: `494 M`, `7.6 B`.
fn short(count: u64) -> String {
    for (unit, name) in [(1_000_000_000_000_u64, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1000, "k")] {
        if count >= unit {
            let tenths = u128::from(count) * 10 / u128::from(unit);
            return if tenths >= 1000 {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
    }
    count.to_string()
}
