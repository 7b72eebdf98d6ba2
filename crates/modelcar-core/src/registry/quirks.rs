//! How single registries differ from the specification. No other file of the core knows a registry by its host name.
//!
//! A row of the table holds what a client can't learn from answers in time: limits that fail an upload after gigabytes,
//! forms of repository names, modes of uploading that a registry answers wrongly. Deviations that an answer shows are
//! tolerated for every registry and have no row: 201 for a PATCH (ECR), 403 for a missing blob (Artifactory), a `Range`
//! with a unit (Quay), a session that no longer exists after a break (zot), 413 from a proxy (nginx, Cloudflare, ACR).
//! `docs/registries.md` documents the table.

/// Host of Docker Hub's API. Image names say `docker.io`.
const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// Key of Docker Hub's login in login files and credential helpers, kept from its first version.
pub(super) const DOCKER_HUB_LOGIN: &str = "https://index.docker.io/v1/";
/// Keys under which login files may hold Docker Hub's login.
pub(super) const DOCKER_HUB_KEYS: [&str; 4] = [DOCKER_HUB_LOGIN, "index.docker.io/v1/", "docker.io", "index.docker.io"];
/// Name of the metadata server in Google Cloud.
pub(super) const GOOGLE_METADATA_HOST: &str = "metadata.google.internal";
/// Names that always mean the metadata server of a cloud machine.
pub(super) const METADATA_HOSTS: [&str; 3] = ["metadata", GOOGLE_METADATA_HOST, "instance-data"];

/// How a registry accepts chunked uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Chunks of any size.
    Any,
    /// Chunks of at most this size, in bytes.
    AtMost(u64),
    /// No chunks, or chunks with answers that can't be relied on.
    No,
}

/// What an immutable tag refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImmutableTags {
    /// Every push, even of the manifest that it points to already; pushing that manifest shows that a tag is immutable.
    RefuseAll,
    /// Another manifest, as far as known.
    RefuseOther,
}

/// How one registry differs from the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quirks {
    /// Name of the product, for messages.
    pub(super) registry: &'static str,
    /// Host names in lower case without ports, or patterns in which `*` stands for one or more characters.
    hosts: &'static [&'static str],
    /// Largest layer that the vendor documents, in bytes. A larger layer causes a warning and is uploaded all the same.
    pub(super) largest_layer: Option<u64>,
    /// How the registry accepts chunks.
    pub(super) chunks: Chunks,
    /// Whether a broken upload may be resumed in its session, if a status request proves the offset.
    pub(super) resume: bool,
    /// Least number of components of a repository's name, and the form of the name as messages show it.
    name: Option<(usize, &'static str)>,
    /// What an immutable tag refuses.
    pub(super) immutable_tags: ImmutableTags,
    /// What users of the registry should know. The check `limits` of a repository carries the text.
    pub(super) advice: Option<&'static str>,
}

/// Decimal gigabyte in bytes, the unit of GitHub's limits.
const GB: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// An unknown registry: every mode is tried, and given up when an answer shows that it fails.
const PLAIN: Quirks = Quirks {
    registry: "this registry",
    hosts: &[],
    largest_layer: None,
    chunks: Chunks::Any,
    resume: true,
    name: None,
    immutable_tags: ImmutableTags::RefuseOther,
    advice: None,
};

/// The registries that differ. The first row with a matching host counts.
const TABLE: [Quirks; 10] = [
    // "Docker API" in the reference: chunked uploads are not supported. Status requests are not documented.
    Quirks {
        registry: "Artifact Registry",
        hosts: &["*.pkg.dev"],
        chunks: Chunks::No,
        resume: false,
        name: Some((3, "PROJECT/REPOSITORY/IMAGE")),
        advice: Some(
            "the repository must exist; tags are immutable where `gcloud artifacts repositories describe` says \
             dockerConfig.immutableTags",
        ),
        ..PLAIN
    },
    Quirks {
        registry: "Artifact Registry (gcr.io)",
        hosts: &["gcr.io", "*.gcr.io"],
        chunks: Chunks::No,
        resume: false,
        name: Some((2, "PROJECT/IMAGE")),
        ..PLAIN
    },
    // "Working with the Container registry": 10 GB a layer, ten minutes an upload. Chunks above 4 MiB get a 416.
    Quirks {
        registry: "GitHub Container Registry",
        hosts: &["ghcr.io"],
        largest_layer: Some(10 * GB),
        chunks: Chunks::AtMost(4 * MIB),
        resume: false,
        name: Some((2, "OWNER/IMAGE")),
        advice: Some("an upload may take ten minutes: at 50 MB/s a layer of 10 GB takes three"),
        ..PLAIN
    },
    // Service quotas. `Range` does not advance, and a session is dead after a broken body (BLOB_UPLOAD_INVALID).
    Quirks {
        registry: "Amazon ECR",
        // Other hosts of this domain are load balancers, which may serve any registry.
        hosts: &[
            "*.dkr.ecr.*.amazonaws.com",
            "*.dkr.ecr.*.amazonaws.com.cn",
            "*.dkr.ecr-fips.*.amazonaws.com",
            "*.dkr-ecr.*.on.aws",
        ],
        largest_layer: Some(52_000 * MIB),
        chunks: Chunks::No,
        resume: false,
        immutable_tags: ImmutableTags::RefuseAll,
        advice: Some("the repository must exist"),
        ..PLAIN
    },
    Quirks {
        registry: "Amazon ECR Public",
        hosts: &["public.ecr.aws", "ecr-public.aws.com"],
        largest_layer: Some(10_000 * MIB),
        chunks: Chunks::No,
        resume: false,
        immutable_tags: ImmutableTags::RefuseAll,
        ..PLAIN
    },
    // MAXIMUM_LAYER_SIZE. A status request counts one byte too many.
    Quirks {
        registry: "Quay",
        hosts: &["quay.io"],
        largest_layer: Some(20 * GIB),
        resume: false,
        name: Some((2, "NAMESPACE/REPOSITORY")),
        ..PLAIN
    },
    // Limits of its service tiers. Single requests were refused with 413 in the field.
    Quirks {
        registry: "Azure Container Registry",
        hosts: &["*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"],
        largest_layer: Some(200 * GIB),
        ..PLAIN
    },
    Quirks {
        registry: "Docker Hub",
        hosts: &["docker.io", "index.docker.io", DOCKER_HUB_API],
        name: Some((2, "NAMESPACE/REPOSITORY")),
        ..PLAIN
    },
    Quirks {
        registry: "GitLab",
        hosts: &["registry.gitlab.com"],
        name: Some((2, "GROUP/PROJECT")),
        advice: Some("its tokens expire within minutes; modelcar renews them"),
        ..PLAIN
    },
    // The repository may be a component of the name or part of the host, so names are not checked.
    Quirks { registry: "JFrog Artifactory", hosts: &["*.jfrog.io"], ..PLAIN },
];

impl Quirks {
    /// Returns the row of `registry`, written `host` or `host:port`, in letters of any case. A registry that is in no
    /// row gets [`PLAIN`].
    pub(super) fn of(registry: &str) -> Self {
        let host = registry.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = host.map_or(registry, |(host, _)| host).to_ascii_lowercase();
        let knows = |pattern: &&str| matches(pattern, &host);
        TABLE.iter().find(|row| row.hosts.iter().any(knows)).copied().unwrap_or(PLAIN)
    }

    /// Returns the required form of a repository's name if `repository` has too few components; `None` if the name
    /// fits.
    pub(super) fn wrong_name(&self, repository: &str) -> Option<&'static str> {
        let (least, shape) = self.name?;
        (repository.split('/').count() < least).then_some(shape)
    }

    /// Returns the size of chunks to send when `wanted` bytes are asked for; `None` if the registry accepts no chunks.
    pub(super) fn chunk(&self, wanted: u64) -> Option<u64> {
        match self.chunks {
            Chunks::Any => Some(wanted),
            Chunks::AtMost(most) => Some(wanted.min(most)),
            Chunks::No => None,
        }
    }
}

/// Returns whether `registry` is Docker Hub, by one of its three host names.
pub(super) fn is_docker_hub(registry: &str) -> bool {
    matches!(registry, "docker.io" | "index.docker.io" | DOCKER_HUB_API)
}

/// Returns the path of a repository in the API of `registry`. `docker.io/busybox` means `library/busybox` to every
/// client.
pub(super) fn api_repository(registry: &str, repository: &str) -> String {
    if is_docker_hub(registry) && !repository.contains('/') {
        return format!("library/{repository}");
    }
    repository.to_owned()
}

/// Returns the host, with its port if any, that serves the API of `registry`.
pub(super) fn api_host(registry: &str) -> &str {
    if is_docker_hub(registry) { DOCKER_HUB_API } else { registry }
}

/// Returns whether `registry`, a host with or without a port, accepts Google's access tokens. A token is sent to no
/// other registry.
pub(crate) fn takes_google_tokens(registry: &str) -> bool {
    let host = registry.split(':').next().unwrap_or_default();
    let between = |prefix: &str, suffix: &str| {
        host.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix)).is_some_and(|label| !label.is_empty())
    };
    let one_label = |text: Option<&str>| text.is_some_and(|label| !label.is_empty() && !label.contains('.'));
    host == "gcr.io"
        || between("", ".gcr.io")
        || one_label(host.strip_suffix("-docker.pkg.dev"))
        || one_label(host.strip_prefix("docker.").and_then(|rest| rest.strip_suffix(".rep.pkg.dev")))
}

/// Returns whether the whole `host` matches `pattern`. Each `*` of the pattern matches one or more characters.
fn matches(pattern: &str, host: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return host == pattern };
    let Some(rest) = host.strip_prefix(before) else { return false };
    rest.char_indices().skip(1).any(|(at, _)| matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_known_by_its_host() {
        for (host, expected) in [
            ("europe-docker.pkg.dev", "Artifact Registry"),
            ("docker.europe-west1.rep.pkg.dev", "Artifact Registry"),
            ("eu.gcr.io", "Artifact Registry (gcr.io)"),
            ("gcr.io", "Artifact Registry (gcr.io)"),
            ("GHCR.io:443", "GitHub Container Registry"),
            ("1234.dkr.ecr.eu-west-1.amazonaws.com", "Amazon ECR"),
            ("1234.dkr.ecr.cn-north-1.amazonaws.com.cn", "Amazon ECR"),
            ("1234.dkr.ecr-fips.us-east-1.amazonaws.com", "Amazon ECR"),
            ("1234.dkr-ecr.us-east-1.on.aws", "Amazon ECR"),
            ("harbor-1.elb.eu-west-1.amazonaws.com", "this registry"),
            (".dkr.ecr.eu-west-1.amazonaws.com", "this registry"),
            ("public.ecr.aws", "Amazon ECR Public"),
            ("quay.io", "Quay"),
            ("acme.azurecr.io", "Azure Container Registry"),
            ("docker.io", "Docker Hub"),
            ("acme.jfrog.io", "JFrog Artifactory"),
            ("pkg.dev.evil.com", "this registry"),
            ("evilgcr.io", "this registry"),
            ("localhost:5000", "this registry"),
            ("[::1]:5000", "this registry"),
        ] {
            assert_eq!(Quirks::of(host).registry, expected, "{host}");
        }
    }

    #[test]
    fn docker_hub_has_three_names_and_one_api() {
        for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(api_host(host), "registry-1.docker.io");
        }
        assert_eq!(api_host("r.io:5000"), "r.io:5000");
        assert_eq!(api_repository("docker.io", "busybox"), "library/busybox");
        assert_eq!(api_repository("docker.io", "acme/busybox"), "acme/busybox");
        assert_eq!(api_repository("r.io", "busybox"), "busybox");
    }

    #[test]
    fn only_googles_registries_see_a_token() {
        for host in
            ["gcr.io", "eu.gcr.io", "a-b.gcr.io:443", "europe-docker.pkg.dev", "docker.europe-west1.rep.pkg.dev"]
        {
            assert!(takes_google_tokens(host), "{host}");
        }
        for host in [
            "docker.io",
            "gcr.io.evil.com",
            "xgcr.io",
            ".gcr.io",
            "pkg.dev",
            "-docker.pkg.dev",
            "docker.pkg.dev",
            "europe-npm.pkg.dev",
            "a.b-docker.pkg.dev",
            "docker.rep.pkg.dev",
            "docker.a.b.rep.pkg.dev",
            "localhost:5000",
            "docker..rep.pkg.dev",
            "europe-docker.pkg.dev.evil.com",
            "evil.com:443.gcr.io",
        ] {
            assert!(!takes_google_tokens(host), "{host}");
        }
    }

    #[test]
    fn names_and_chunks_follow_the_row() {
        let row = Quirks::of("europe-docker.pkg.dev");
        assert_eq!(row.wrong_name("project/repository"), Some("PROJECT/REPOSITORY/IMAGE"));
        assert_eq!(row.wrong_name("project/repository/team/image"), None);
        assert_eq!(row.chunk(5), None);
        assert_eq!(Quirks::of("acme-docker.jfrog.io").wrong_name("image"), None);
        assert_eq!(Quirks::of("ghcr.io").chunk(64 << 20), Some(4 << 20));
        assert_eq!(Quirks::of("r.io").chunk(64 << 20), Some(64 << 20));
    }
}
