//! Why an image is not on the node.

use super::Words;
use crate::findings::findings;

findings! {
    /// Why the kubelet can't pull an image, as far as its words tell.
    pub enum PullFault {
        /// The registry has no such image.
        NotFound => "image-not-found", "the registry has no such image";
        /// The index has no image for the node's platform.
        Platform => "image-platform", "the image has no variant for the platform of the node";
        /// The registry refuses the kubelet.
        Denied => "pull-denied", "the registry refuses the node's login, or the node has none";
        /// The registry limits how often images are pulled.
        RateLimited => "pull-rate-limited", "the registry limits how often images are pulled";
        /// The kubelet limits how often it pulls.
        NodeLimited => "pull-node-limited", "the kubelet limits how often it pulls images";
        /// The registry's certificate is not trusted on the node.
        Certificate => "pull-certificate", "the node does not trust the registry's certificate";
        /// The registry speaks plain HTTP and the node expects TLS.
        PlainHttp => "pull-plain-http", "the registry speaks plain HTTP, and the node asks it by HTTPS";
        /// The node can't reach the registry.
        Unreachable => "registry-unreachable", "the node does not reach the registry";
        /// The registry, or something before it, fails.
        RegistryFails => "registry-fails", "the registry, or a proxy before it, answers with an error of its own";
        /// The pull was cancelled.
        Cancelled => "pull-cancelled", "the pull was cancelled while the node downloaded or unpacked it";
        /// The pull took too long.
        Deadline => "pull-deadline", "the pull took longer than the node waits for it";
        /// No room for the image.
        NoSpace => "disk", "the node has no room for the image";
        /// The bytes are not those of the digest.
        Corrupt => "image-corrupt", "the node got other bytes than the digest names";
        /// A layer can't be unpacked.
        Unpack => "image-unpack", "the node can't unpack a layer of the image";
        /// The runtime does not know the kind of image.
        Format => "image-format", "the node's container runtime does not know this kind of image or layer";
        /// The image is not there and must not be pulled.
        Never => "image-never-pulled", "the image is not on the node, and imagePullPolicy `Never` forbids to pull it";
        /// A signature policy of the node refuses the image.
        Signature => "image-signature", "a policy of the node asks for a signature that the image does not have";
        /// The runtime can't look at the image.
        Inspect => "image-inspect", "the container runtime of the node can't look at the image";
        /// The name is none.
        BadName => "image-name", "the name of the image is not valid";
        /// Some other reason.
        Other => "image-pull", "the node can't pull the image";
    }
}

/// What to look for in small letters, the most telling first: a refused token is told with the words of a missing image
/// by some registries, and a registry that can't be reached with those of a failed login.
const WORDS: &[(PullFault, &[&str])] = &[
    (PullFault::NoSpace, &["no space left on device", "disk quota exceeded"]),
    (PullFault::NodeLimited, &["pull qps exceeded"]),
    (
        PullFault::Platform,
        &[
            "no match for platform",
            "no matching manifest",
            "no image found in image index",
            "no image found in manifest list",
            "does not match the specified platform",
        ],
    ),
    (PullFault::PlainHttp, &["gave http response to https client"]),
    (PullFault::RateLimited, &["toomanyrequests", "too many requests", "rate limit"]),
    (PullFault::Certificate, &["x509", "certificate", "tls: handshake failure", "remote error: tls"]),
    (
        PullFault::Unreachable,
        &[
            "dial tcp",
            "no such host",
            "connection refused",
            "connection reset",
            "i/o timeout",
            "network is unreachable",
            "no route to host",
            "tls handshake timeout",
            "server misbehaving",
            "unexpected eof",
            "pinging container registry",
        ],
    ),
    (
        PullFault::RegistryFails,
        &[
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway timeout",
            "internal server error",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "gateway time-out",
        ],
    ),
    (
        PullFault::Signature,
        &[
            "signature validation failed",
            "signature was required",
            "source image rejected",
            "signaturevalidationfailed",
        ],
    ),
    (
        PullFault::Corrupt,
        &[
            "failed size validation",
            "unexpected commit digest",
            "unexpected commit size",
            "digest mismatch",
            "does not match digest",
            "failed digest validation",
            "checksum mismatch",
        ],
    ),
    (
        PullFault::Denied,
        &[
            "unauthorized",
            "forbidden",
            "access denied",
            "authentication required",
            "no basic auth credentials",
            "insufficient_scope",
            "failed to authorize",
            "denied: ",
            "permission_denied",
        ],
    ),
    (PullFault::Cancelled, &["context canceled", "code = canceled"]),
    (PullFault::Deadline, &["deadline exceeded", "deadlineexceeded"]),
    (
        PullFault::Format,
        &[
            "unsupported media type",
            "mediatype should be",
            "invalid media type",
            "unsupported manifest",
            "unsupported config media type",
            "unknown media type",
            "layer media type",
        ],
    ),
    (
        PullFault::NotFound,
        &[
            "not found",
            "manifest unknown",
            "name unknown",
            "manifest_unknown",
            "name_unknown",
            "notfound",
            "no such image",
            "does not exist",
        ],
    ),
    (
        PullFault::Unpack,
        &[
            "failed to extract layer",
            "failed to unpack",
            "applylayer",
            "failed to register layer",
            "error creating layer",
            "lchown",
        ],
    ),
    (PullFault::BadName, &["couldn't parse image", "invalid reference format", "repository name must be lowercase"]),
];

/// The statuses of HTTP that say so, where a message has no more than the number.
fn statuses(fault: &PullFault) -> &'static [&'static str] {
    match fault {
        PullFault::RateLimited => &["429"],
        PullFault::Denied => &["401", "403"],
        PullFault::NotFound => &["404"],
        _ => &[],
    }
}

/// Returns what is wrong with a pull, by the kubelet's one-word reason and its message.
pub(in super::super) fn of_pull(reason: &str, message: &str) -> PullFault {
    match reason {
        "ErrImageNeverPull" => return PullFault::Never,
        "InvalidImageName" => return PullFault::BadName,
        "SignatureValidationFailed" => return PullFault::Signature,
        "ImageInspectError" => return PullFault::Inspect,
        "RegistryUnavailable" => return PullFault::Unreachable,
        _ => {}
    }
    let words = Words::new(&without_names(message));
    let known = WORDS.iter().find(|(fault, parts)| words.any(parts) || words.has_status(statuses(fault)));
    known.map_or(PullFault::Other, |(fault, _)| fault.clone())
}

/// Returns whether a reason, or the words of an event, is about a pull.
pub(in super::super) fn is_pull(reason: &str, message: &str) -> bool {
    let reasons = [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "SignatureValidationFailed",
        "ImageInspectError",
        "RegistryUnavailable",
        "InspectFailed",
    ];
    reasons.contains(&reason) || reason == "Failed" && Words::new(message).any(&["failed to pull image", "pull image"])
}

/// Returns `message` without the names in it, which can hold any word: texts in quotes that are one word, and words with a
/// slash (references, URLs, paths).
fn without_names(message: &str) -> String {
    let quoted = |part: &str| part.contains(char::is_whitespace) || part.is_empty();
    // Every second part between quotes stands inside of them.
    let parts = message.split('"').enumerate().filter(|(at, part)| at % 2 == 0 || quoted(part));
    let text: Vec<&str> = parts.map(|(_, part)| part).collect();
    let text = text.join(" ");
    text.split_whitespace().filter(|word| !word.contains('/')).collect::<Vec<_>>().join(" ")
}
