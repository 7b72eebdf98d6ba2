//! What the user can do about a finding of `check`, with the names of his own pod.

use modelcar_core::ImageRef;
use modelcar_kserve::check::{Eviction, Finding, PodReport, PullFault, Refusal, Severity, Wait};

/// For a namespace that enforces the Pod Security Standard `restricted`.
const RESTRICTED: &str = "enforce `baseline` there, or serve the image by oci+native:// with the security context that \
                          `restricted` asks for: `modelcar render --native` writes both (KServe 0.20)";
/// For a pod that KServe's webhook has changed incompletely.
const WEBHOOK_AGAIN: &str = "delete the pod, so that the webhook acts again";
/// For nodes whose container runtime mounts no sub-path of an image volume.
const NATIVE: &str = "oci+native:// needs containerd 2.2 or CRI-O 1.33 on every node (containerd 2.1 mounts the whole image \
                      and says nothing): update the nodes, or serve by oci://, which needs neither";

/// Returns what to do about a finding of `check`; `None` for mere information. `pod` gives the names for commands.
pub(crate) fn of_check(pod: &PodReport, finding: &Finding) -> Option<String> {
    if finding.severity() == Severity::Info {
        return None;
    }
    cluster(pod, finding)
        .or_else(|| container(pod, finding))
        .or_else(|| injection(finding))
        .or_else(|| users(pod, finding))
        .or_else(|| image(pod, finding))
}

/// Remedies for what the cluster tried to do and could not.
fn cluster(pod: &PodReport, finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::Ended { why, .. } => ended(pod, why),
        Finding::Refused { why, .. } => refused(why).to_owned(),
        Finding::PodSecurityRestricted => RESTRICTED.to_owned(),
        Finding::Pull { why: PullFault::Denied, image, said, secrets, .. } => denied(pod, image, said, secrets),
        Finding::Pull { of_model, why, image, .. } => pull(pod, *of_model, why, image),
        Finding::Waits { what } => return wait(pod, what),
        Finding::Sandbox { .. } => format!(
            "these words come from the node's container runtime or its network plugin: see `kubectl describe {}` and the \
             log of the runtime on the node",
            object(pod)
        ),
        Finding::ProgressDeadline { given_up: true, .. } => "give the pull more time: annotate the predictor with \
                                                             serving.knative.dev/progress-deadline (`modelcar render` \
                                                             writes the annotation for Knative), then apply again"
            .to_owned(),
        Finding::ProgressDeadline { given_up: false, .. } => {
            "what the pod waits for is told beside it; a longer progressDeadlineSeconds only ends the complaint"
                .to_owned()
        }
        Finding::Stopped => {
            format!(
                "start the service: `kubectl annotate isvc {}{} serving.kserve.io/stop-`",
                name(pod),
                namespace(pod)
            )
        }
        Finding::ServiceNotReady { .. } | Finding::ModelFailed { .. } => everything(pod),
        _ => return None,
    })
}

/// Remedies for a pod that the kubelet ended or refused.
fn ended(pod: &PodReport, why: &Eviction) -> String {
    match why {
        Eviction::NodeDisk => {
            format!(
                "give nodes a larger boot disk: `modelcar inspect {}` prints the size that the image needs",
                model(pod)
            )
        }
        Eviction::NodeMemory => {
            "let the pods of the node request the memory that they use, or give the node more".to_owned()
        }
        Eviction::OwnStorage => {
            "raise ephemeral-storage in the container's resources: caches and logs count, the model of \
                                 the image does not"
                .to_owned()
        }
        Eviction::EmptyDir => {
            "raise the sizeLimit of the emptyDir volume, or let the server write less there".to_owned()
        }
        Eviction::Shutdown | Eviction::Lost | Eviction::Preempted => {
            "the controller makes another pod; if that one does not come, see what the scheduler says of it".to_owned()
        }
        Eviction::Rejected => {
            "the controller makes another pod; if it stays so, another pod holds the device or the node's \
                               device plugin is broken: `kubectl describe node NODE`"
                .to_owned()
        }
        Eviction::Deadline => "raise activeDeadlineSeconds".to_owned(),
        _ => format!("see `kubectl describe {}` and `kubectl describe node NODE`", object(pod)),
    }
}

/// Remedies for a pod that the API server refuses. The controller tries again by itself.
fn refused(why: &Refusal) -> &'static str {
    match why {
        Refusal::PodSecurity => RESTRICTED,
        Refusal::Constraint => {
            "let the namespace choose the user: leave runAsUser and runAsGroup out, or give the service account an SCC that \
             allows them (`oc adm policy add-scc-to-user`)"
        }
        Refusal::Quota => "raise the ResourceQuota of the namespace, or request less: the numbers are in these words",
        Refusal::LimitRange => {
            "KServe's sidecar requests cpuModelcar and memoryModelcar of the ConfigMap inferenceservice-config (10m and \
             15Mi): raise both to the minimum, or except the namespace from the LimitRange"
        }
        Refusal::Webhook => {
            "see that the webhook's pods run and that its service has endpoints; for KServe: `kubectl get pod,endpoints -n \
             kserve`"
        }
        Refusal::Policy => "satisfy the policy that these words name, or except the namespace from the policy",
        Refusal::ImageVolumes | Refusal::SubPath => {
            "oci+native:// needs image volumes with sub-paths: Kubernetes 1.33 or later with the feature gate ImageVolume \
             (on by default since 1.35); oci:// needs neither"
        }
        Refusal::Missing => "create what these words name, or correct its name",
        Refusal::Invalid => "correct the field that these words name in the service or its runtime",
        _ => "mend what these words name; the controller then tries again by itself",
    }
}

/// Remedies for an image that is not on the node.
fn pull(pod: &PodReport, of_model: bool, why: &PullFault, image: &str) -> String {
    let image = reference(image, "IMAGE");
    match why {
        PullFault::NotFound if of_model => format!(
            "the registry has no image of this name and digest: `modelcar inspect {0}:TAG` prints the digest of a tag, and \
             `modelcar pin {0}@sha256:… FILE` writes the digest into the manifest. If the image was deleted, push the model \
             again",
            repository(image)
        ),
        PullFault::NotFound if image.contains("-gpu") || image.contains("-cpu") => {
            "KServe appends `-gpu` or `-cpu` to a runtime's tag by itself: name an image without that suffix, or set the \
             image of the container"
                .to_owned()
        }
        PullFault::NotFound => format!("correct the image of the server in the service or its runtime: `{image}`"),
        PullFault::Platform if of_model => {
            "push the model for the node's platform too: `modelcar push --platform linux/amd64 --platform linux/arm64` \
             shares the weights between them"
                .to_owned()
        }
        PullFault::Platform => "use an image of the server for the node's platform, or nodes of the image's".to_owned(),
        PullFault::RateLimited => {
            "pull with a login (imagePullSecrets), or from a mirror; the kubelet tries again by itself".to_owned()
        }
        PullFault::NodeLimited => "raise registryPullQPS of the kubelet; it tries again by itself".to_owned(),
        PullFault::Certificate => "the node, not the pod, must trust the registry's authority: /etc/containerd/certs.d or \
                                   /etc/containers/certs.d of every node"
            .to_owned(),
        PullFault::PlainHttp => "tell the node's runtime that this registry speaks plain HTTP: hosts.toml below \
                                 /etc/containerd/certs.d"
            .to_owned(),
        PullFault::Unreachable => "let the node reach the registry: its DNS, its firewall, a private endpoint (Private Google \
                                   Access) or a mirror; the host is in these words"
            .to_owned(),
        PullFault::RegistryFails => "wait: the kubelet tries again by itself; if it stays so, ask who runs the registry".to_owned(),
        PullFault::Cancelled | PullFault::Deadline => {
            "the node was too slow: give nodes a faster disk, and containerd a longer image_pull_progress_timeout. The \
             kubelet tries again by itself"
                .to_owned()
        }
        PullFault::NoSpace => {
            format!("give nodes a larger boot disk: `modelcar inspect {image}` prints the size that the image needs")
        }
        PullFault::Corrupt => "something between registry and node changes the bytes, a cache or a proxy: clear its copy of \
                               this image"
            .to_owned(),
        PullFault::Unpack => format!("`modelcar inspect --lint {image}` reads the layers; look at the disk of the node too"),
        PullFault::Format => format!("`modelcar inspect --lint {image}` tells what a container runtime can't read"),
        PullFault::Never => "load the image onto the node before, or set imagePullPolicy: IfNotPresent".to_owned(),
        PullFault::Signature => "sign the image as the policy of the node asks (`cosign sign IMAGE@sha256:…`), or except it \
                                 from that policy"
            .to_owned(),
        PullFault::Inspect => "the runtime's own store on the node is damaged or busy: see its log there".to_owned(),
        PullFault::BadName => "write the image as REGISTRY/REPOSITORY@sha256:…; a scheme such as oci+native:// that this \
                               release of KServe does not know ends up in the name"
            .to_owned(),
        _ => format!("see the node's events: `kubectl describe {}`", object(pod)),
    }
}

/// Remedies for a node that may not pull an image: no login, one that is not there, or one that the registry refuses.
fn denied(pod: &PodReport, image: &str, said: &str, secrets: &[String]) -> String {
    let host = image.split_once('/').map_or("REGISTRY", |(host, _)| host);
    let namespace = namespace(pod);
    match secrets {
        _ if said.contains("image pull secret") => format!(
            "the pod names a secret of the kind `imagePullSecrets` that its namespace does not have: `kubectl get \
             secret{namespace}`"
        ),
        [] => format!(
            "make a secret, `kubectl create secret docker-registry NAME{namespace} --docker-server={host} \
             --docker-username=USER --docker-password=PASSWORD`, and name it in the service: `imagePullSecrets: [{{name: \
             NAME}}]` below `spec.predictor` (`modelcar render --image-pull-secret NAME` writes that); or give the node's own \
             account the right to pull. KServe's storage secrets are not used"
        ),
        [first, ..] => format!(
            "the login in the imagePullSecrets is for another registry, is out of date, or may not read this repository: \
             `kubectl get secret {}{namespace} -o jsonpath='{{.data.\\.dockerconfigjson}}' | base64 -d | jq '.auths | keys'` must list {host}; try \
             its login with `modelcar inspect {} --username USER --password-stdin`",
            word(first, "NAME"),
            reference(image, "IMAGE")
        ),
    }
}

/// Remedies for what a pod waits for; `None` where it need only be waited for.
fn wait(pod: &PodReport, what: &Wait) -> Option<String> {
    Some(match what {
        Wait::Unschedulable { replaces: Some(_), .. } => "let the rollout stop the old pod first: `modelcar render \
                                                          --deployment-strategy recreate`, or maxSurge 0; or add a node"
            .to_owned(),
        Wait::Unschedulable { said, .. } if said.contains("persistentvolumeclaim") => {
            format!("create the claim that the pod names, or take its volume out: `kubectl get pvc{}`", namespace(pod))
        }
        Wait::Unschedulable { said, .. } if !said.contains("Insufficient") && said.contains("node affinity/selector") => {
            "give a node the labels that the pod asks for (`kubectl get nodes --show-labels`), or ask for others: `modelcar \
             render --node-selector`, `--gpu-type`"
                .to_owned()
        }
        Wait::Unschedulable { said, .. } if !said.contains("Insufficient") && said.contains("untolerated taint") => {
            "let the pod tolerate the taint: `modelcar render --toleration KEY=VALUE:EFFECT` (`kubectl describe node` lists \
             taints)"
                .to_owned()
        }
        Wait::Unschedulable { .. } => {
            "give the scheduler a node with that much left beside its other pods (`kubectl describe node` lists what they \
             request), or request less: `resources` in the service's manifest, for a manifest of render `--gpus`, `--cpu`, \
             `--memory`"
                .to_owned()
        }
        Wait::Gated { .. } => "look at the queue that holds the pod back (Kueue: `kubectl get workloads`)".to_owned(),
        Wait::MissingObject { kind, name, .. } => format!(
            "create the {kind} with that key, and the pod goes on by itself: `kubectl get {} {}{}`",
            kind.to_lowercase(),
            word(name, "NAME"),
            namespace(pod)
        ),
        Wait::Volume { .. } | Wait::Gate { .. } => format!("see `kubectl describe {}`", object(pod)),
        Wait::Restarting { container, .. } => {
            format!("read its log if it goes on: `{} -c {} --previous`", logs(pod), word(container, "CONTAINER"))
        }
        Wait::Probe { container, .. } => {
            format!("loading takes minutes; its log tells how far it is: `{} -c {}`", logs(pod), word(container, "CONTAINER"))
        }
        Wait::SettingUp { .. } | Wait::NotMade => format!("wait some seconds; if it stays so, {}", everything(pod)),
        Wait::NotReady { .. } | Wait::NotScheduled { .. } => everything(pod),
        _ => return None,
    })
}

/// Returns the advice to check again with all that the cluster knows.
fn everything(pod: &PodReport) -> String {
    format!(
        "check again with the events: `kubectl get isvc,deploy,rs,pod,events,nodes{} -o json | modelcar check -`",
        namespace(pod)
    )
}

/// Remedies for a container that does not start or does not stay up.
fn container(pod: &PodReport, finding: &Finding) -> Option<String> {
    let log = |container: &str| format!("`{} -c {} --previous`", logs(pod), word(container, "CONTAINER"));
    Some(match finding {
        Finding::DownloadFailed { .. } => format!("read its log: `{} -c storage-initializer`", logs(pod)),
        Finding::NoModelsOrEntrypoint { container } => format!(
            "see {}, and `{} -c {}`: NOK there means the first reason",
            lint(pod),
            logs(pod),
            word(container, "modelcar-init")
        ),
        Finding::ServerMemory { .. } => format!(
            "give it more memory (`modelcar render --memory`); `modelcar inspect {}` prints what the model needs",
            model(pod)
        ),
        Finding::ServerMemoryBefore { .. } => "give it more memory: `modelcar render --memory`".to_owned(),
        Finding::GpuMemory { .. } => "use more or larger GPUs, or a smaller --max-model-len: `modelcar render` compares both \
                                      with the model"
            .to_owned(),
        Finding::ModelDenied { container, .. } => format!(
            "server and sidecar must run as the same user and group: set runAsUser and runAsGroup for the pod, as `modelcar \
             render` does; {} shows whether the files may be read; the log: {}",
            lint(pod),
            log(container)
        ),
        Finding::ModelUnseen { container, .. } => {
            format!("{NATIVE}. With a sidecar the link may be missing: see {} and `{} -c modelcar`", log(container), logs(pod))
        }
        Finding::ProbeKills { container, .. } => format!(
            "give the start more time: failureThreshold or periodSeconds of the container's startupProbe; the log of the run \
             before: {}",
            log(container)
        ),
        Finding::ServerCrashes { container, .. } if pod.mode == modelcar_kserve::check::Mode::Native => {
            format!("read its log: {}. If it does not find its files: {NATIVE}", log(container))
        }
        Finding::ServerCrashes { container, .. } | Finding::ServerRestarted { container, .. } => {
            format!("read its log: {}", log(container))
        }
        Finding::SidecarCrashes { container, .. } => {
            format!("read its log: {}; an entrypoint in the image is the usual cause: {}", log(container), lint(pod))
        }
        Finding::Link { .. } => "`File exists` means that something else has the place of the link, such as a volume at \
                                 /mnt/models, or an old link (KServe before 0.15: delete the pod); `Permission denied` means \
                                 that the sidecar's user may not write to the volume"
            .to_owned(),
        Finding::SidecarEnded { .. } => format!("see {}, which shows an entrypoint", lint(pod)),
        Finding::SidecarRestarted { .. } => "restart the pod if the server can't find its files".to_owned(),
        Finding::NotCreated { .. } => format!(
            "a node that is slow or damaged says this too, and the kubelet tries again: see `kubectl describe {}`",
            object(pod)
        ),
        Finding::MountFails { .. } => "mount the volume outside of /mnt/models".to_owned(),
        Finding::NativeRuntime { .. } => NATIVE.to_owned(),
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
        Finding::NoUri { .. } | Finding::UriElsewhere { .. } => {
            "write the image into the container's environment, and call the container kserve-container: name STORAGE_URI, \
             value oci://IMAGE@sha256:…"
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
        Finding::MountBelow { .. } => "mount it outside of the model's folder, and give the server its path",
        Finding::LocalModelCache { .. } => {
            "KServe mounts it because a LocalModelCache names the same storageUri: annotate the service with \
             serving.kserve.io/disable-localmodel: \"true\", or delete the LocalModelCache"
        }
        Finding::NoTmp { .. } => "mount an emptyDir volume at /tmp",
        Finding::SeLinux { .. } => "set seLinuxOptions for the pod, and not for one container",
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
fn users(pod: &PodReport, finding: &Finding) -> Option<String> {
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
        Finding::InitUser => return Some(numeric_user(pod)),
        Finding::RunsAsRoot { image, .. } | Finding::NamedUser { image, .. } => {
            return Some(if pod.image.as_deref() == Some(image) {
                numeric_user(pod)
            } else {
                "set runAsUser for that container or its pod to a number that is not 0; the image is the server's, not the \
                 model's"
                    .to_owned()
            });
        }
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// Remedy for a model's image whose user is root, or has a name from which Kubernetes can't tell that it is not root.
fn numeric_user(pod: &PodReport) -> String {
    format!("give the image a numeric user that is not 0, as `modelcar push` does: {} shows its user", lint(pod))
}

/// Remedies for a wrong image, or for something wrong in the image.
fn image(pod: &PodReport, finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::OtherImage { .. } => {
            "delete the pod, so that it is made again with the image that is asked for".to_owned()
        }
        Finding::Mirrored { .. } => {
            "ask for the image by its digest, which names the same image in every registry".to_owned()
        }
        Finding::UnexpectedDigest { .. } => "apply the manifests of the expected image again".to_owned(),
        Finding::Unpinned { .. } => "pin the digest: `modelcar render --resolve`".to_owned(),
        Finding::NoShell { .. } => {
            "push the model again on a base with a shell that every user may run: modelcar's default, or without a way to the \
             internet `--base-binary /bin/busybox`; `modelcar pin` writes the new digest into the manifest. Or write \
             oci+native:// for oci:// in the service (KServe 0.20, Kubernetes 1.35, containerd 2.2 or CRI-O 1.33)"
                .to_owned()
        }
        Finding::Processor { image, .. } if pod.image.as_deref() == Some(image) => {
            "push the model for the node's platform: `modelcar push --platform linux/amd64 --platform linux/arm64`"
                .to_owned()
        }
        Finding::Processor { .. } => "use an image of the server for the node's platform".to_owned(),
        Finding::NotStarted { .. } => format!(
            "the image may have an entrypoint, which takes KServe's command as its arguments: {} shows it",
            lint(pod)
        ),
        Finding::ForeignExit { .. } => format!(
            "the image has an entrypoint, which takes KServe's command as its arguments: {} shows it",
            lint(pod)
        ),
        Finding::SidecarMemory { .. } => "raise memoryModelcar in the ConfigMap inferenceservice-config".to_owned(),
        Finding::NoModels { .. } => {
            format!("see {}; /models must hold the files and be readable for all", lint(pod))
        }
        _ => return None,
    })
}

/// Returns the command that reads the model's image.
fn lint(pod: &PodReport) -> String {
    format!("`modelcar inspect --lint {}`", model(pod))
}

/// Returns the model's image, safe in a command.
fn model(pod: &PodReport) -> &str {
    reference(pod.image.as_deref().unwrap_or_default(), "IMAGE")
}

/// Returns the command that prints the pod's log, without a container.
fn logs(pod: &PodReport) -> String {
    format!("kubectl logs {}{}", name(pod), namespace(pod))
}

/// Returns the pod as `kubectl describe` wants it named.
fn object(pod: &PodReport) -> String {
    format!("pod {}{}", name(pod), namespace(pod))
}

fn name(pod: &PodReport) -> &str {
    word(&pod.name, "POD")
}

/// Returns the option for the pod's namespace, with a space before it; nothing if the document states no namespace.
fn namespace(pod: &PodReport) -> String {
    if pod.namespace.is_empty() { String::new() } else { format!(" -n {}", word(&pod.namespace, "NAMESPACE")) }
}

/// Returns `name` if it is safe in a command that the user may copy into a shell, and `otherwise` if not.
///
/// Names come from a document that anybody may have written: they can hold spaces, `;` or `$(…)`.
fn word<'a>(name: &'a str, otherwise: &'a str) -> &'a str {
    safe(name, otherwise, &['-', '.'])
}

/// Returns the name of an image if it is safe in a command, and `otherwise` if not.
fn reference<'a>(image: &'a str, otherwise: &'a str) -> &'a str {
    safe(image, otherwise, &['-', '.', '_', '/', ':', '@'])
}

/// Returns the name of an image without tag and digest.
fn repository(image: &str) -> String {
    let parsed: Option<ImageRef> = image.parse().ok();
    parsed.map_or_else(|| image.to_owned(), |image| format!("{}/{}", image.registry(), image.repository()))
}

fn safe<'a>(text: &'a str, otherwise: &'a str, marks: &[char]) -> &'a str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(&c);
    let is_safe = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain);
    if is_safe { text } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcar_kserve::check::{Mode, State, VersionRange};

    #[test]
    fn a_command_names_the_pod_and_no_shell_obeys_a_document() {
        let pod = |name: &str| PodReport {
            kind: "Pod".to_owned(),
            namespace: "team".to_owned(),
            name: name.to_owned(),
            mode: Mode::Modelcar,
            state: Some(State::Failing),
            ready: Some(false),
            image: Some(format!("reg.example/m:{name}")),
            kserve: VersionRange::default(),
            findings: Vec::new(),
        };
        let crashes = Finding::ServerRestarted { container: "kserve-container".to_owned(), restarts: 9 };
        let remedy = |name: &str| of_check(&pod(name), &crashes).unwrap();
        assert_eq!(remedy("m-0"), "read its log: `kubectl logs m-0 -n team -c kserve-container --previous`");
        for evil in ["", "-x", "a;reboot", "a`b`", "$(b)", "a b"] {
            assert!(remedy(evil).contains("logs POD -n team"), "{evil}");
        }
        let ended = Finding::SidecarEnded { container: "modelcar".to_owned() };
        let remedy = |name: &str| of_check(&pod(name), &ended).unwrap();
        assert!(remedy("v1").contains("`modelcar inspect --lint reg.example/m:v1`"));
        assert!(remedy("v1;reboot").contains("`modelcar inspect --lint IMAGE`"));
    }
}
