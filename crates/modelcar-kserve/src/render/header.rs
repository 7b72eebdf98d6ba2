//! The comment above the manifests: what it is, and what it needs.

use modelcar_core::text::one_line;

use super::{options::Kind, resolved::Resolved, warning::Warning};
use crate::sizing::{NodeDisk, PODS_BYTES, SYSTEM_BYTES};

const GIB: u64 = 1 << 30;

/// The comment, but for its warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    facts: Vec<String>,
    commands: Commands,
}

/// Commands to try what is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Commands {
    lines: Vec<String>,
    /// The line that shows the pods.
    shows_pods: Option<usize>,
}

impl Comment {
    pub(super) fn new(resolved: &Resolved<'_>) -> Self {
        let mut facts = vec![title(resolved)];
        facts.extend(model(resolved));
        facts.extend(gpu(resolved));
        facts.extend(disk(resolved));
        facts.push(format!("For KServe {}.", resolved.options.version));
        Self { facts, commands: commands(resolved) }
    }

    /// Lets the line that shows the pods hand them to `command`.
    pub(super) fn check_with(&mut self, command: &str) {
        let commands = &mut self.commands;
        if let Some(line) = commands.shows_pods.take().and_then(|at| commands.lines.get_mut(at)) {
            *line = format!("{line} -o json | {command}");
        }
    }

    /// Returns the lines, with the remedy of each warning behind it.
    pub(super) fn lines(&self, warnings: &[Warning], remedies: &[Option<String>]) -> Vec<String> {
        let mut lines = self.facts.clone();
        for (at, warning) in warnings.iter().enumerate() {
            let remedy = remedies.get(at).and_then(Option::as_ref);
            let remedy = remedy.map(|remedy| format!(" {}.", one_line(remedy))).unwrap_or_default();
            wrap(&format!("Warning: {warning}.{remedy}"), &mut lines);
        }
        lines.extend(self.commands.lines.iter().cloned());
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
        facts.weight_bytes.map(|bytes| format!("{} of weights", gib(bytes))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("{}.", parts.join(", ")))
}

fn gpu(resolved: &Resolved<'_>) -> Option<String> {
    let need = resolved.gpu_memory().filter(|_| resolved.gpus > 0 && resolved.options.kind != Kind::Prepull)?;
    let cache = match (need.cache, resolved.sequence()) {
        (1.., Some(tokens)) => format!(" + {} cache of one sequence of {tokens} tokens", gib(need.cache)),
        _ => String::new(),
    };
    Some(format!(
        "GPU memory: {} = {} weights{cache} + {} runtime.",
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

fn commands(resolved: &Resolved<'_>) -> Commands {
    match resolved.options.kind {
        Kind::InferenceService | Kind::LlmInferenceService => Commands::default(),
        Kind::SmokeTest => smoke_test(resolved),
        Kind::Prepull => prepull(resolved),
    }
}

fn smoke_test(resolved: &Resolved<'_>) -> Commands {
    let name = &resolved.name;
    let namespace = resolved.namespace.as_deref().unwrap_or_default();
    let pod = format!("kubectl get pod -n {namespace} -l serving.kserve.io/inferenceservice={name}");
    let lines = vec![
        String::new(),
        "Try it:".to_owned(),
        "  kubectl apply -f FILE".to_owned(),
        format!("  kubectl wait -n {namespace} --for=condition=Ready --timeout=30m isvc/{name}"),
        format!("  {pod}"),
        format!("  kubectl port-forward -n {namespace} $({pod} -o name | head -n 1) 8080:8080 &"),
        "  curl http://127.0.0.1:8080/v1/models".to_owned(),
        "Remove it:".to_owned(),
        if resolved.is_scratch {
            format!("  kubectl delete namespace {namespace}")
        } else {
            format!("  kubectl delete isvc/{name} -n {namespace}")
        },
    ];
    Commands { lines, shows_pods: Some(4) }
}

fn prepull(resolved: &Resolved<'_>) -> Commands {
    let mut lines = vec![String::new()];
    if resolved.node_selector().is_empty() {
        lines.push("Choose nodes:  kubectl label node NODE modelcar.io/prepull=true".to_owned());
    }
    let there = resolved.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let set = format!("daemonset/prepull-{}{there}", resolved.name);
    lines.push(format!("Wait for it:  kubectl rollout status {set} --timeout=60m"));
    lines.push(format!("Remove it:  kubectl delete {set}"));
    Commands { lines, shows_pods: None }
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
