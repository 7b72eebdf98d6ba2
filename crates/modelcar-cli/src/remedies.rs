//! What the user can do about a finding of `check`, `lint`, `render` or `doctor`.
//!
//! The libraries state facts and know no command line. The flags and commands that help are named here.

mod check;

use modelcar_core::registry::{Check, CheckCode};
use modelcar_kserve::{
    lint::LintFinding,
    render::{ImageRewrite, UnusedOption, Warning},
};

pub(crate) use self::check::of_check;

/// For a registry that names another host in the `Location` of its uploads.
pub(crate) const UPLOAD_HOST: &str = "a login goes to the registry's own host alone: correct the external address of the \
                                      registry (http.host of CNCF distribution, X-Forwarded-Host of a proxy), or push \
                                      under the name of that host";

/// What to do about a registry that wants a certificate of the client.
pub(crate) const CLIENT_CERTIFICATE: &str = "name a certificate that the registry accepts with --client-cert FILE, and its \
                                             private key with --client-key FILE; or put both into \
                                             ~/.config/containers/certs.d/HOST:PORT as client.cert and client.key";

/// Returns what to do about a finding of `inspect --lint`; `None` when the finding says so itself.
pub(crate) fn of_lint(finding: &LintFinding) -> Option<String> {
    let remedy = match finding {
        LintFinding::Unpinned => "name its digest: `modelcar inspect IMAGE` prints it",
        LintFinding::Incomplete { .. } => "push the whole model again",
        LintFinding::Doubtful { .. } => "`modelcar plan SOURCE` tells what looks wrong",
        LintFinding::MissingManifest { .. } => "push the image again, with all of its platforms",
        LintFinding::PartlyRead { .. } => "read them with --all",
        LintFinding::LargeLayer { .. } => concat!("see the settings of containerd in ", docs!("node-sizing.md")),
        LintFinding::Zstd
        | LintFinding::LayerType { .. }
        | LintFinding::Names { .. }
        | LintFinding::HardLink { .. } => "build the image with `modelcar push`, or serve it without oci+fetch://",
        LintFinding::NoModelsSeen => "read all layers with --all",
        LintFinding::EmptyModels
        | LintFinding::NoModels
        | LintFinding::ModelsNoFolder
        | LintFinding::ModelsLink { .. } => "put the model's files into a folder /models; `modelcar push` does",
        LintFinding::Unreadable { .. } | LintFinding::Unlisted { .. } => {
            "make files and folders in /models readable for all"
        }
        LintFinding::OwnerOnly { user, .. } => {
            return Some(format!(
                "make them readable for all, or run the server as that user: `modelcar render --native --kserve-uid {user}`"
            ));
        }
        LintFinding::ClosedFolder { .. } => "let everybody enter the folder (mode 755)",
        LintFinding::AbsoluteLink { .. } | LintFinding::OutsideLink { .. } | LintFinding::DanglingLink { .. } => {
            "put the file itself in the place of the link"
        }
        LintFinding::SpecialFile { .. } => "leave it out of the image",
        LintFinding::Pointer { .. } => "fetch the file with git-lfs (`git lfs pull`), and build the image again",
        LintFinding::MissingShards { .. } | LintFinding::NoShards { .. } => {
            "build the image again with every file that the index names"
        }
        LintFinding::AdapterAlone => {
            "merge the adapter into its base model, or serve both: `modelcar render BASE --lora NAME=IMAGE`"
        }
        LintFinding::HubCache { .. } => {
            "copy the files of snapshots/COMMIT, links followed, into /models; `modelcar push hf-cache://OWNER/NAME` does"
        }
        LintFinding::HiddenOnly => "put the model's files into /models",
        LintFinding::Nested { .. } => "put the files into /models itself, or name the folder in the server's arguments",
        LintFinding::Entrypoint { .. } => "build the image without an entrypoint, or serve it by oci+native://",
        LintFinding::RootUser | LintFinding::NamedUser { .. } => {
            "give the image a numeric user that is not 0, such as 1010"
        }
        LintFinding::NoShell { certain: false, .. } | LintFinding::NoTools { certain: false, .. } => {
            "read all layers with --all, they may hold these programs"
        }
        LintFinding::NoShell { .. } | LintFinding::NoTools { .. } => {
            "push it again with a base that has them (`modelcar push` without --base, or with --base-binary /bin/busybox), or \
             serve it by oci+native://"
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
        Warning::ManyGpus { .. } => "Spread the model over several pods: --gpus 8 --pipeline-parallel N",
        Warning::ProgressDeadline { .. } => {
            concat!(
                "Pull the image before (--kind prepull), or use nodes with a faster disk: ",
                docs!("node-sizing.md")
            )
        }
        Warning::LargeLayer { .. } => concat!(docs!("node-sizing.md"), " has the settings of containerd"),
        Warning::Fetch => "Use the sidecar or --native where the pin must hold",
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
        Warning::RemoteCode => "Read the code, then add --trust-remote-code",
        Warning::TrustedCode => "Put such code into the model's folder, and push the model again",
        Warning::NoChatTemplate => "vLLM's argument --chat-template names a file with one, which --arg adds",
        Warning::Adapter { .. } => {
            "Render the image of the base model with --lora NAME=IMAGE, or merge the adapter into the base model"
        }
        Warning::AdapterOfOther { .. } => "Name an adapter of this model with --lora",
        Warning::GgufGone => "Use vLLM up to 0.23, or a server of your own that can (--custom-container)",
        Warning::ServedName => "--served-name does nothing here: name the model with --arg",
        Warning::UnknownTask { .. } => "--model-format, --runtime, --gpus and --arg say otherwise",
        Warning::EncoderDecoder => "Leave --custom-container and --kind out, or use --runtime kserve-huggingfaceserver",
        Warning::GgufOnVllm { .. } => "vLLM's argument --tokenizer names it, which --arg adds",
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
        CheckCode::ClientCertificate => CLIENT_CERTIFICATE,
        CheckCode::Silent => "check the network and any proxy between",
        CheckCode::OddAnswer => "is this a registry? its API is expected at /v2/",
        CheckCode::NoLogin => "`docker login`, `gcloud auth configure-docker`, or an auth file in DOCKER_CONFIG",
        CheckCode::LoginUnreadable => "repair the file or the helper it names",
        CheckCode::LoginRefused => {
            "log in with an account that may push; the check `login` says which credentials the registry has refused, if any"
        }
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
