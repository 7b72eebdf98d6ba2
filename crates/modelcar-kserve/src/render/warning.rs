//! What may surprise whoever applies manifests, a row for each warning.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::resolved::{HUGGINGFACE_RUNTIME, VLLM_RUNTIME};
use crate::{KserveVersion, findings::findings};

findings! {
    /// Something to know before applying. Its texts have no line ends and no characters of control.
    pub enum Warning {
        /// The largest number of replicas has no place.
        MaxReplicas
            => "max-replicas", "an LLMInferenceService has a fixed number of replicas here: the largest number is not written";
        /// Zero replicas become one.
        ReplicasClamped
            => "replicas-clamped", "KServe runs one replica though minReplicas is 0: the horizontal pod autoscaler can't scale to \
                                    zero";
        /// KEDA needs a metric.
        ReplicasKeda
            => "replicas-keda", "KEDA scales up from zero only by a metric that exists without a pod (not CPU or memory)";
        /// Nothing scales up.
        ReplicasManual => "replicas-manual", "nothing scales up from zero: minReplicas has to be raised by hand";
        /// Knative takes fields only where features are switched on.
        KnativeFeatures {
            /// The features.
            features: Vec<&'static str>,
        } => "knative-features", "Knative refuses fields of this service unless config-features enables {}", features.join(", ");
        /// An `LLMInferenceService` has no field for an option.
        LeftOut {
            /// The options.
            options: Vec<UnusedOption>,
        } => "left-out", "an LLMInferenceService has no field for {}: left out", joined(options);
        /// A new namespace does not hold what the service names.
        ScratchNamespace {
            /// The namespace.
            namespace: String,
            /// The service account.
            account: Option<String>,
            /// The secrets that the kubelet pulls with.
            secrets: Vec<String>,
        } => "scratch-namespace", "the new namespace {namespace} holds no {}", missing(account.as_ref(), secrets);
        /// The first patches of 0.15 have OCI images switched off.
        OciDisabled => "oci-disabled", "before KServe 0.15.2 OCI images are switched off";
        /// The first patch of 0.15 lacks what is asked for.
        PatchRelease {
            /// Whether the service is created stopped.
            stop: bool,
            /// Whether it has no autoscaler.
            no_autoscaler: bool,
        } => "patch-release", "KServe 0.15.0 knows neither services that are created stopped nor services without an autoscaler: \
                               this one needs KServe 0.15.1";
        /// The GPUs have too little memory.
        GpuMemory {
            /// What is needed.
            need_gib: u64,
            /// What the server takes of all GPUs.
            usable_gib: u64,
            /// What all GPUs have.
            have_gib: u64,
            /// Number of GPUs.
            gpus: u32,
            /// Their type, as GKE labels nodes.
            gpu_type: String,
        } => "gpu-memory", "about {need_gib} GiB of GPU memory are needed, and the server takes {usable_gib} GiB of the {have_gib} GiB \
                            that {gpus} × {gpu_type} has";
        /// No GPU of that type is known.
        UnknownGpuType {
            /// The type.
            gpu_type: String,
            /// Types that are known.
            known: Vec<&'static str>,
        } => "gpu-type", "the memory of the GPU type `{gpu_type}` is not known; known types are {}", known.join(", ");
        /// More GPUs than a node has.
        ManyGpus {
            /// Number of GPUs.
            gpus: u32,
        } => "many-gpus", "one pod asks for {gpus} GPUs, and most nodes have 8 at most: the pod stays Pending if no node has as many";
        /// The attention heads can't be divided among the GPUs.
        AttentionHeads {
            /// Heads of the model.
            heads: u64,
            /// Number of GPUs of one pod.
            gpus: u32,
            /// Numbers of GPUs that divide them.
            right: Vec<u32>,
        } => "attention-heads", "vLLM divides the model's {heads} attention heads evenly among the GPUs of a pod, and {gpus} GPUs do \
                                 not divide them: vLLM then ends at its start (`must be divisible by tensor parallel size`). \
                                 Numbers of GPUs that do: {}", joined_numbers(right);
        /// What the release does was not read.
        UnreadRelease {
            /// The release.
            version: KserveVersion,
        } => "release", "the source code of KServe {version} was not read, only its Python packages: the manifests are those for \
                         KServe {}", KserveVersion::LAST_READ;
        /// A pull takes longer than a Deployment may take to proceed.
        ProgressDeadline {
            /// Minutes of the pull on a slow disk.
            minutes: u64,
        } => "progress-deadline", "on a disk of 125 MiB/s the image takes about {minutes} min, and KServe's Deployment has 10 min to \
                                   proceed: the Deployment then reports ProgressDeadlineExceeded, undoes nothing, and becomes \
                                   available when the pod is Ready";
        /// One layer decides how long the pull takes.
        LargeLayer {
            /// Its size.
            gib: u64,
        } => "large-layer", "one layer has {gib} GiB: one connection downloads the layer and one core unpacks it, unless the node \
                             downloads layers in chunks";
        /// The model brings code.
        RemoteCode => "remote-code", "the model brings Python code of its own (auto_map), and a server runs the code only if the server \
                                      is told to trust it";
        /// The code is trusted.
        TrustedCode => "trusted-code", "the server runs Python code of the model. The server is offline: code that the model names in \
                                        another repository (`owner/repository--module`) can't be fetched";
        /// The model can't chat.
        NoChatTemplate => "no-chat-template", "the model has no chat template: the server answers /v1/completions, and refuses \
                                               /v1/chat/completions";
        /// The image holds an adapter.
        Adapter {
            /// The model that the adapter belongs to, where it says so.
            base: Option<String>,
        } => "adapter", "the image holds an adapter{} and no model: a server can't load the adapter alone",
            base.as_ref().map(|base| format!(" of `{base}`")).unwrap_or_default();
        /// An adapter of another model.
        AdapterOfOther {
            /// The adapter.
            name: String,
            /// The model that it belongs to.
            base: String,
            /// The model that is served.
            served: String,
        } => "adapter-base", "the adapter `{name}` was trained on `{base}`, and the image holds `{served}`";
        /// KServe's download proves nothing.
        Fetch => "fetch", "KServe's download checks no digest: the server may load other bytes than those of the pinned image. Every new \
                           pod downloads the image again";
        /// No user is written beside a sidecar.
        NoUserOfSidecar
            => "no-user", "no user is written: the server runs as the user of its image and the sidecar as that of the model's \
                           image (of modelcar: user 1010, group 0), unless the namespace sets one, as OpenShift does. User and \
                           group of both must be the same, or the server may not read the model";
        /// No user is written beside an image volume.
        NoUser
            => "no-user", "no user is written: unless the namespace sets one, as OpenShift does, the server's image must have a \
                           numeric user that is not root";
        /// Server and sidecar run as root, in a container of the user's own.
        RootContainer => "root", "server and sidecar run as root, because KServe's uidModelcar is 0";
        /// Server and sidecar run as root, which servers of KServe can't.
        Root
            => "root", "uidModelcar is 0: a server that must not be root or drops its capabilities, as those of KServe's runtimes \
                        do, does not start or may not read the model";
        /// `restricted` refuses the sidecar.
        PodSecurity {
            /// Whether the release can mount the image as a volume instead.
            has_native: bool,
        } => "pod-security", "a namespace that enforces the Pod Security level `restricted` refuses KServe's sidecar";
        /// The server of an `LLMInferenceService` has a folder of the name that the link's real path has.
        RealPathOfLlm
            => "real-path", "the server's image has an empty folder /models of its own: software that resolves the link \
                             /mnt/models looks there and finds no model";
        /// The link's real path is in another container.
        RealPath
            => "real-path", "/mnt/models is a link into another container: a server that resolves it to its real path (xgboost, \
                             ONNX with external data) does not find the files";
        /// What image volumes need.
        ImageVolume
            => "image-volume", "image volumes with a sub-path need Kubernetes 1.35, or 1.33 with the feature gate ImageVolume, and \
                                containerd 2.2 or CRI-O 1.33. containerd 2.1 ignores the sub-path silently, and the server then sees \
                                the image's root folder at /mnt/models";
        /// The image is not for the nodes that most clusters have.
        Platform {
            /// The platforms that it is for.
            offered: Vec<String>,
        } => "platform", "the image has no linux/amd64, only {}", offered.join(", ");
        /// The name in requests does not reach the server.
        ServedName
            => "served-name", "the arguments of this runtime are not known, so the name of the model in requests is left out";
        /// The server's security context is lost.
        SecurityContext {
            /// The release of KServe.
            version: KserveVersion,
        } => "security-context", "KServe {version} replaces the server's securityContext by the user alone";
        /// Nothing is known of the model.
        NoFacts
            => "no-facts", "the image does not say what model it holds: runtime and resources are defaults";
        /// The model's purpose is not known.
        UnknownTask {
            /// Its architecture.
            architecture: Option<String>,
        } => "unknown-task", "the purpose of the model{} is not known: it is served as one that writes text",
            architecture.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        /// vLLM can't serve such a model.
        EncoderDecoder
            => "encoder-decoder", "vLLM does not serve models that rewrite text by an encoder and a decoder, such as T5 and BART";
        /// vLLM and GGUF, where the version is not known or old enough.
        GgufOnVllm {
            /// Whether the version of vLLM is known.
            is_known: bool,
        } => "gguf", "vLLM's support of GGUF is experimental, and wants the tokenizer of the original model{}",
            if *is_known { "" } else { "; vLLM's image has no such support from version 0.24 on" };
        /// vLLM without GGUF.
        GgufGone => "gguf", "vLLM's image can't load GGUF from version 0.24 on";
        /// The runtime can't load GGUF.
        GgufOnHuggingFace => "gguf", "{HUGGINGFACE_RUNTIME} can't load GGUF; KServe 0.20 brings {VLLM_RUNTIME}, which can";
        /// No version of the server is named.
        RuntimeVersion {
            /// What KServe makes of the runtime's image.
            rewrite: ImageRewrite,
        } => "runtime-version", "the cluster chooses the version of the server, which may change";
        /// KServe takes an image without GPUs.
        GpusNotCounted {
            /// The resource that counts the GPUs.
            resource: String,
        } => "server-image", "KServe counts only NVIDIA's GPUs: for `{resource}` it takes the server's image without GPUs";
        /// The tag is that of an image without CUDA.
        TagWithoutCuda {
            /// The tag.
            tag: String,
        } => "server-image", "KServe uses the tag `{tag}` as it is, and with it an image without CUDA: the tags with CUDA end in -gpu";
        /// A version keeps KServe from taking the image for other processors.
        VersionForNvidia {
            /// The resource that counts the GPUs; `None` for CPUs alone.
            resource: Option<String>,
        } => "server-image", "KServe keeps the runtime's image for NVIDIA's GPUs where a version of the runtime is named, and the \
                              server is to run on {}", processors(resource.as_ref());
        /// KServe makes a name of the digest that does not exist.
        DigestRewritten {
            /// The release of KServe.
            version: KserveVersion,
        } => "server-image", "KServe {version} appends -gpu to a digest too, and the image is not found";
        /// KServe runs another image than is named.
        TagRewritten {
            /// The image that is named.
            image: String,
            /// What KServe makes of it.
            becomes: String,
            /// Whether KServe leaves a digest alone.
            leaves_digests: bool,
        } => "server-image", "KServe makes `{becomes}` of the image `{image}`";
    }
}

/// An option that has no place in an `LLMInferenceService`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusedOption {
    /// The Knative mode.
    Knative,
    /// The autoscaler.
    Autoscaler,
    /// The model format.
    ModelFormat,
    /// The user beside an image volume.
    User,
}

impl fmt::Display for UnusedOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Knative => "the Knative mode",
            Self::Autoscaler => "an autoscaler",
            Self::ModelFormat => "a model format",
            Self::User => "a user",
        })
    }
}

/// What KServe makes of a server's image when no version is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageRewrite {
    /// `IMAGE:TAG` becomes `IMAGE:TAG-gpu`.
    GpuTag,
    /// `IMAGE:TAG` becomes `IMAGE-cpu:TAG`.
    CpuRepository,
    /// It stays as it is.
    Nothing,
}

impl Serialize for Warning {
    /// Writes code and sentence.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Warning", 2)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

fn joined(options: &[UnusedOption]) -> String {
    options.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn joined_numbers(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn missing(account: Option<&String>, secrets: &[String]) -> String {
    let account = account.map(|name| format!("service account `{name}`"));
    let secrets = secrets.iter().map(|name| format!("secret `{name}`"));
    account.into_iter().chain(secrets).collect::<Vec<_>>().join(" and no ")
}

fn processors(resource: Option<&String>) -> String {
    resource.map_or_else(|| "CPUs alone".to_owned(), |resource| format!("`{resource}`"))
}
