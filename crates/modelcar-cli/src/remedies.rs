//! What the user can do about a finding of `check`, `lint`, `render` or `doctor`.
//!
//! The libraries state facts and know no command line. The flags and commands that help are named here.

use modelcar_core::registry::{Check, CheckCode};
use modelcar_kserve::{
    check::{Finding, PodReport, Severity},
    lint::LintFinding,
    render::{ImageRewrite, UnusedOption, Warning},
};

/// Returns what to do about a finding of `check`; `None` for mere information. `pod` gives the names for `kubectl`
/// commands.
pub(crate) fn of_check(pod: &PodReport, finding: &Finding) -> Option<String> {
    if finding.severity() == Severity::Info {
        return None;
    }
    cluster(pod, finding).or_else(|| injection(finding)).or_else(|| users(finding)).or_else(|| image(finding))
}

/// Remedies that belong to several findings.
const DISK: &str = "give nodes a larger boot disk: `modelcar inspect IMAGE` prints the size that the image needs";
/// For a namespace that enforces the Pod Security Standard `restricted`.
const RESTRICTED: &str = "enforce `baseline` there, or serve the image by oci+native:// with the security context that \
                          `restricted` asks for: `modelcar render --native` writes both (KServe 0.20)";
/// For an image whose user is root, or has a name from which Kubernetes can't tell that it is not root.
const NUMERIC_USER: &str =
    "give the image a numeric user that is not 0: `modelcar inspect --lint IMAGE` shows its user";
/// For a pod that KServe's webhook has changed incompletely.
const WEBHOOK_AGAIN: &str = "delete the pod, so that the webhook acts again";

/// For a registry that names another host in the `Location` of its uploads.
pub(crate) const UPLOAD_HOST: &str = "a login goes to the registry's own host alone: correct the external address of the \
                                      registry (http.host of CNCF distribution, X-Forwarded-Host of a proxy), or push \
                                      under the name of that host";

/// Remedies for what the cluster tried to do and could not.
fn cluster(pod: &PodReport, finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::DiskFull { .. } | Finding::ImageTooLarge { .. } => DISK.to_owned(),
        Finding::Evicted { .. } => "`kubectl describe node NODE` shows what the node ran short of: let the pods request it, \
                                    or give the node more of it"
            .to_owned(),
        Finding::PodSecurityRefused { .. } | Finding::PodSecurityRestricted => RESTRICTED.to_owned(),
        Finding::ImagePull { .. } => "the kubelet pulls this image, with imagePullSecrets or the node's own credentials and \
                                      not with KServe's storage secrets: check both"
            .to_owned(),
        Finding::DownloadFailed { .. } => format!("read its log: `{} -c storage-initializer`", logs(pod)),
        Finding::NoModelsOrEntrypoint => format!(
            "see `modelcar inspect --lint IMAGE`, and `{} -c modelcar-init`: NOK there means the first reason",
            logs(pod)
        ),
        Finding::ServerMemory { .. } => "give it more memory (`modelcar render --memory`); `modelcar inspect IMAGE` prints \
                                         the size of the model"
            .to_owned(),
        Finding::ServerMemoryBefore { .. } => "give it more memory: `modelcar render --memory`".to_owned(),
        Finding::ServerCrashes { container, .. } => format!(
            "read its log: `{} -c {} --previous`. `Permission denied` under /mnt/models means that server and sidecar run \
             as different users or groups",
            logs(pod),
            word(container, "CONTAINER")
        ),
        Finding::ServerRestarted { container, .. } => {
            format!("read its log: `{} -c {} --previous`", logs(pod), word(container, "CONTAINER"))
        }
        Finding::SidecarRestarted { .. } => "restart the pod if the server can't find its files".to_owned(),
        Finding::NotReady { unscheduled: true, .. } => {
            "give the scheduler a node that has what the pod requests (`kubectl describe node`), or request less: `modelcar \
             render --gpus`, `--cpu`, `--memory`"
                .to_owned()
        }
        Finding::NotReady { .. } => format!(
            "see `kubectl describe {}` and `{} --all-containers`; check again when it should be Ready, with the events: \
             `kubectl get isvc,deploy,rs,pod,events{} -o json | modelcar check -`",
            object(pod),
            logs(pod),
            namespace(pod)
        ),
        Finding::PodRefused { .. } => "mend what these words name (a quota, a limit, a webhook that is down, a policy); the \
                                       controller then tries again by itself"
            .to_owned(),
        _ => return None,
    })
}

/// Remedies for what KServe did not inject into the pod, or injected wrongly.
fn injection(finding: &Finding) -> Option<String> {
    let remedy = match finding {
        Finding::OciDisabled => {
            "set enableModelcar to true in the ConfigMap inferenceservice-config (key storageInitializer), then delete the \
             pod"
        }
        Finding::TemplateAlone => {
            "check the pods: `kubectl get pod -l serving.kserve.io/inferenceservice=NAME -o json | modelcar check -`"
        }
        Finding::NoModel => {
            "check the pod of the service; with storageUris before KServe 0.19 nothing is injected, use storageUri"
        }
        Finding::NameTaken { .. } => "give that container another name",
        Finding::NoLabel { .. } => "let an InferenceService make the pod",
        Finding::ControlPlane { .. } => "use another namespace, or remove the label",
        Finding::NativeOff => {
            "set enableOciModelSupport or enableModelcar to true in the ConfigMap inferenceservice-config"
        }
        Finding::NotInjected => {
            "see that the webhook inferenceservice.kserve-webhook-server.pod-mutator runs and covers the namespace (label \
             control-plane excludes it), then delete the pod"
        }
        Finding::NoSharedProcesses => {
            "delete the pod, so that the webhook acts again; find out what else changes pods after KServe did"
        }
        Finding::NoServer => "name the server's container kserve-container",
        Finding::NoVolume { .. }
        | Finding::VolumeKind { .. }
        | Finding::MountsDiffer { .. }
        | Finding::NotMounted { .. } => WEBHOOK_AGAIN,
        Finding::HiddenLink { .. } => "mount it elsewhere",
        Finding::RealPath { .. } => "let the server open /mnt/models itself, and not the real path of it",
        Finding::NoPrefetch => "update KServe to 0.14 or later",
        Finding::LinkNotForced => {
            "update KServe to 0.15 or later; meanwhile delete a pod that hangs after a node's restart"
        }
        Finding::SubPath { .. } => "use Kubernetes 1.33 or later, which has sub-paths of image volumes",
        Finding::Writable => "set readOnly for the mount",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Remedies for users and groups that keep the server from reading the files.
fn users(finding: &Finding) -> Option<String> {
    let remedy = match finding {
        Finding::UsersDiffer { .. } => {
            "remove runAsUser from the service, so that KServe's uidModelcar sets the user of both"
        }
        Finding::UsersUnknown { .. } => {
            "set uidModelcar in the ConfigMap inferenceservice-config; on OpenShift the namespace sets both"
        }
        Finding::GroupsDiffer { .. } => "set runAsUser and runAsGroup for the pod, and no runAsGroup for the container",
        Finding::RootWithoutCapabilities { .. } => {
            "set uidModelcar in the ConfigMap inferenceservice-config to a user that is not root, such as 1010"
        }
        Finding::GroupWithoutUser { .. } => {
            "write both into the securityContext of the service's pod, as `modelcar render` does (runAsUser 1010, \
             runAsGroup 0), or neither"
        }
        Finding::InitUser | Finding::RunsAsRoot { .. } => NUMERIC_USER,
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Remedies for a wrong image, or for something wrong in the image.
fn image(finding: &Finding) -> Option<String> {
    let remedy = match finding {
        Finding::OtherImage { .. } => "delete the pod, so that it is made again with the image that is asked for",
        Finding::UnexpectedDigest { .. } => "apply the manifests of the expected image again",
        Finding::Unpinned { .. } => "pin the digest: `modelcar render --resolve`",
        Finding::NoShell => "build the image on a base with a shell (modelcar's default), or use oci+native://",
        Finding::NotStarted { .. } => {
            "the image may have an entrypoint, which takes KServe's command as its arguments: `modelcar inspect --lint \
             IMAGE` shows it"
        }
        Finding::ForeignExit { .. } => {
            "the image has an entrypoint, which takes KServe's command as its arguments: `modelcar inspect --lint IMAGE` \
             shows it"
        }
        Finding::SidecarMemory { .. } => "raise memoryModelcar in the ConfigMap inferenceservice-config",
        Finding::SidecarCrashes { .. } => {
            "an entrypoint in the image or an old link (KServe before 0.15) are the usual causes: see `modelcar inspect \
             --lint IMAGE`"
        }
        Finding::NoModels => "see `modelcar inspect --lint IMAGE`; /models must hold the files and be readable for all",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Returns the command that prints the pod's log, without a container.
fn logs(pod: &PodReport) -> String {
    format!("kubectl logs {}{}", word(&pod.name, "POD"), namespace(pod))
}

/// Returns the pod as `kubectl describe` wants it named.
fn object(pod: &PodReport) -> String {
    format!("pod {}{}", word(&pod.name, "POD"), namespace(pod))
}

/// Returns the option for the pod's namespace, with a space before it; nothing if the document states no namespace.
fn namespace(pod: &PodReport) -> String {
    if pod.namespace.is_empty() { String::new() } else { format!(" -n {}", word(&pod.namespace, "NAMESPACE")) }
}

/// Returns `name` if it is safe in a command that the user may copy into a shell, and `otherwise` if not.
///
/// Names come from a document that anybody may have written: they can hold spaces, `;` or `$(…)`.
fn word<'a>(name: &'a str, otherwise: &'a str) -> &'a str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain);
    if is_name { name } else { otherwise }
}

/// Returns what to do about a finding of `inspect --lint`; `None` when the finding says so itself.
pub(crate) fn of_lint(finding: &LintFinding) -> Option<String> {
    let remedy = match finding {
        LintFinding::Unpinned => "name its digest: `modelcar inspect IMAGE` prints it",
        LintFinding::Incomplete { .. } => "push the whole model again",
        LintFinding::Doubtful { .. } => "`modelcar plan SOURCE` tells what looks wrong",
        LintFinding::MissingManifest { .. } => "push the image again, with all of its platforms",
        LintFinding::PartlyRead { .. } => "read them with --all",
        LintFinding::Zstd
        | LintFinding::LayerType { .. }
        | LintFinding::Names { .. }
        | LintFinding::HardLink { .. } => "build the image with `modelcar push`, or serve it without oci+fetch://",
        LintFinding::NoModelsSeen => "read all layers with --all",
        LintFinding::EmptyModels
        | LintFinding::NoModels
        | LintFinding::ModelsNoFolder
        | LintFinding::ModelsLink { .. } => "put the model's files into a folder /models; `modelcar push` does",
        LintFinding::Unreadable { .. } => "make files and folders in /models readable for all",
        LintFinding::AbsoluteLink { .. } => "put the file itself in the place of the link",
        LintFinding::Entrypoint { .. } => "build the image without an entrypoint, or serve it by oci+native://",
        LintFinding::RootUser | LintFinding::NamedUser { .. } => {
            "give the image a numeric user that is not 0, such as 1010"
        }
        LintFinding::NoShell { certain: false, .. } | LintFinding::NoTools { certain: false, .. } => {
            "read all layers with --all, they may hold these programs"
        }
        LintFinding::NoShell { .. } | LintFinding::NoTools { .. } => {
            "push it again with a base that has them (`modelcar push` without --base), or serve it by oci+native://"
        }
        LintFinding::PasswdGroup { .. } => {
            "set runAsUser and runAsGroup for the pod, as `modelcar render` does, or use a base without that entry"
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Returns what to do about a warning of `render`: sentences without the final full stop.
pub(crate) fn of_render(warning: &Warning) -> Option<String> {
    of_service(warning).map(str::to_owned).or_else(|| of_server(warning))
}

/// Remedies that change the service.
fn of_service(warning: &Warning) -> Option<&'static str> {
    Some(match warning {
        Warning::ReplicasClamped => "Use --mode knative, --autoscaler keda or --autoscaler none",
        Warning::ReplicasKeda => "Add spec.predictor.autoScaling",
        Warning::ScratchNamespace { .. } => {
            "Create them there after the first apply, or name a namespace that has them with --namespace"
        }
        Warning::OciDisabled => {
            "Update KServe, or set enableModelcar to true in the ConfigMap inferenceservice-config (key storageInitializer)"
        }
        Warning::PatchRelease { stop, no_autoscaler } => match (stop, no_autoscaler) {
            (true, true) => "Update KServe, or leave --stop and --autoscaler none out",
            (true, false) => "Update KServe, or leave --stop out",
            _ => "Update KServe, or leave --autoscaler none out",
        },
        Warning::GpuMemory { .. } => "Take more GPUs (--gpus) or lower --max-model-len",
        Warning::Root => "Set uidModelcar to 1010 in the ConfigMap inferenceservice-config, and leave --kserve-uid out",
        Warning::PodSecurity { has_native: true } => "Use `baseline`, or --native",
        Warning::PodSecurity { has_native: false } => "Use `baseline`",
        Warning::NoFacts => "Check them: --runtime, --model-format, --gpus, --cpu and --memory set others",
        _ => return None,
    })
}

/// Remedies that change the server or its image.
fn of_server(warning: &Warning) -> Option<String> {
    let remedy = match warning {
        Warning::LeftOut { options } => {
            let flags: Vec<&str> = options.iter().map(|option| flag(*option)).collect();
            return Some(format!("Leave out {}", flags.join(" and ")));
        }
        Warning::ServedName => "--served-name does nothing here: name the model with --arg",
        Warning::UnknownTask { .. } => "--model-format, --runtime, --gpus and --arg say otherwise",
        Warning::EncoderDecoder => "Leave --custom-container and --kind out, or use --runtime kserve-huggingfaceserver",
        Warning::GgufOnVllm => "vLLM's argument --tokenizer names it, which --arg adds",
        Warning::GgufOnHuggingFace => {
            "Name a server that can with --custom-container or --runtime, or render for KServe 0.20 (--kserve-version)"
        }
        Warning::RuntimeVersion { rewrite: ImageRewrite::GpuTag } => {
            "Pin it with --runtime-version TAG, one that ends in -gpu, or --runtime-image IMAGE@sha256:…"
        }
        Warning::RuntimeVersion { rewrite: ImageRewrite::CpuRepository } => {
            "Pin it with --runtime-image IMAGE@sha256:…"
        }
        Warning::RuntimeVersion { .. } => "Pin it with --runtime-version TAG or --runtime-image IMAGE@sha256:…",
        Warning::GpusNotCounted { resource } | Warning::VersionForNvidia { resource: Some(resource) } => {
            return Some(format!("Name an image for `{resource}` with --runtime-image IMAGE@sha256:…"));
        }
        Warning::VersionForNvidia { resource: None } => "Name an image for CPUs with --runtime-image IMAGE@sha256:…",
        Warning::TagWithoutCuda { tag } => {
            return Some(format!("Name one that ends in -gpu (--runtime-version {tag}-gpu)"));
        }
        Warning::DigestRewritten { .. } => "Name it by a tag that ends in -gpu",
        Warning::TagRewritten { leaves_digests: true, .. } => "Name it by its digest: --runtime-image IMAGE@sha256:…",
        Warning::TagRewritten { .. } => "Name the one that is meant by a tag that ends in -gpu",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Returns the option of the command line that sets `option`.
fn flag(option: UnusedOption) -> &'static str {
    match option {
        UnusedOption::Knative => "--mode knative",
        UnusedOption::Autoscaler => "--autoscaler",
        UnusedOption::ModelFormat => "--model-format",
        UnusedOption::User => "--kserve-uid",
        _ => "the option",
    }
}

/// Returns what to do about the result of one check of `doctor`; `None` when nothing is to be done.
pub(crate) fn of_doctor(check: &Check) -> Option<&'static str> {
    Some(match check.code {
        CheckCode::NameShape => "write the repository in that shape",
        CheckCode::NoTls => "the server does not speak TLS: for a registry of plain HTTP add --plain-http",
        CheckCode::NoConnection => {
            "check the host's name, the network and, for TLS, the authority that signed its certificate (--ca-file)"
        }
        CheckCode::BadCertificate => {
            "mend the server's certificate or this machine's clock; an authority or a self-signed certificate that is not \
             trusted here is named with --ca-file"
        }
        CheckCode::Silent => "check the network and any proxy between",
        CheckCode::OddAnswer => "is this a registry? its API is expected at /v2/",
        CheckCode::NoLogin => "`docker login`, `gcloud auth configure-docker`, or an auth file in DOCKER_CONFIG",
        CheckCode::LoginUnreadable => "repair the file or the helper it names",
        CheckCode::LoginRefused => "log in with an account that may push: the registry refused the credentials above",
        CheckCode::UploadHost => UPLOAD_HOST,
        CheckCode::Denied => "the registry knows the account; grant it write access to this repository",
        CheckCode::NoRepository => "create the repository, or correct its name",
        CheckCode::RateLimited => "wait, then try again",
        CheckCode::NameRefused => "correct the name of the repository",
        CheckCode::UploadRefused => {
            "the registry refuses the upload for the reason above; perhaps it takes no uploads at all"
        }
        CheckCode::PushFailed => "try again; if it stays so, the registry or a proxy before it fails",
        CheckCode::TagUntold => "some registries answer this for a tag that is free",
        CheckCode::TagImmutable => "push under another tag",
        CheckCode::TagTaken => {
            "the push overwrites the tag when it completes; if tags are immutable, the registry refuses that: use another tag"
        }
        CheckCode::TagUnknown | CheckCode::ReadUnknown => "try again",
        CheckCode::ReadRefused => {
            "a push reads the image back: let the login read the repository too, or push with --no-verify-push"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcar_kserve::check::{Mode, VersionRange};

    #[test]
    fn a_command_names_the_pod_and_no_shell_obeys_a_document() {
        let pod = |name: &str| PodReport {
            kind: "Pod".to_owned(),
            namespace: "team".to_owned(),
            name: name.to_owned(),
            mode: Mode::Modelcar,
            ready: Some(false),
            image: None,
            kserve: VersionRange::default(),
            findings: Vec::new(),
        };
        let crashes = Finding::ServerRestarted { container: "kserve-container".to_owned(), restarts: 9 };
        let remedy = |name: &str| of_check(&pod(name), &crashes).unwrap();
        assert_eq!(remedy("m-0"), "read its log: `kubectl logs m-0 -n team -c kserve-container --previous`");
        for evil in ["", "-x", "a;reboot", "a`b`", "$(b)", "a b"] {
            assert!(remedy(evil).contains("logs POD -n team"), "{evil}");
        }
    }
}
