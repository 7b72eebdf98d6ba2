//! What registries do in their own way: the one place that knows a registry by its host.
//!
//! A row says what can't be found out by asking: limits that are met only after gigabytes, shapes of names, ways of
//! uploading that a registry answers wrongly. What shows itself in an answer is not here but tolerated everywhere: a
//! PATCH that is answered with 201 (ECR), a 403 for a blob that is not there (Artifactory), a `Range` with a unit (Quay), a
//! session that is gone after a break (zot), a 413 from a proxy (nginx, Cloudflare, ACR). `docs/registries.md` is this
//! table for people.

/// How a registry takes uploads in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Of any size.
    Any,
    /// Of at most so many bytes.
    AtMost(u64),
    /// Not at all, or with answers that can't be trusted.
    No,
}

/// What an immutable tag refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImmutableTags {
    /// Even the manifest that it points to already, which tells that it is one.
    RefuseAll,
    /// Another manifest, as far as is known.
    RefuseOther,
}

/// What a registry does in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quirks {
    /// Name of the registry's product, for people.
    pub(super) registry: &'static str,
    /// Hosts: a name, or a pattern in which `*` stands for one character or more.
    hosts: &'static [&'static str],
    /// Largest layer in bytes, as its makers document it.
    pub(super) largest_layer: Option<u64>,
    /// How it takes chunks.
    pub(super) chunks: Chunks,
    /// Whether an upload that broke off may go on in its session, where a status request proves the place.
    pub(super) resume: bool,
    /// Least number of components of a repository's name, and its shape for people.
    name: Option<(usize, &'static str)>,
    /// What an immutable tag refuses.
    pub(super) immutable_tags: ImmutableTags,
    /// What its users should know.
    pub(super) advice: Option<&'static str>,
}

const GB: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A registry of which nothing is known: it may do everything that it proves it can.
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

const TABLE: [Quirks; 10] = [
    // "Docker API" of its reference: chunked uploads are not supported. A status request is not documented.
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
        // Other hosts of that domain are load balancers, with anybody's registry behind them.
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
        hosts: &["docker.io", "index.docker.io", "registry-1.docker.io"],
        name: Some((2, "NAMESPACE/REPOSITORY")),
        ..PLAIN
    },
    Quirks {
        registry: "GitLab",
        hosts: &["registry.gitlab.com"],
        name: Some((2, "GROUP/PROJECT")),
        advice: Some("its tokens live for minutes; they are renewed by themselves"),
        ..PLAIN
    },
    // The repository is a component of the name, or part of the host: nothing is to be said of names.
    Quirks { registry: "JFrog Artifactory", hosts: &["*.jfrog.io"], ..PLAIN },
];

impl Quirks {
    /// Returns the row for a registry, `host` or `host:port`.
    pub(super) fn of(registry: &str) -> Self {
        let host = registry.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = host.map_or(registry, |(host, _)| host).to_ascii_lowercase();
        let knows = |pattern: &&str| matches(pattern, &host);
        TABLE.iter().find(|row| row.hosts.iter().any(knows)).copied().unwrap_or(PLAIN)
    }

    /// Returns the shape that a repository's name must have, when `repository` has another one.
    pub(super) fn wrong_name(&self, repository: &str) -> Option<&'static str> {
        let (least, shape) = self.name?;
        (repository.split('/').count() < least).then_some(shape)
    }

    /// Returns the size of chunks to send for a wish of `wanted` bytes; `None` where there are no chunks.
    pub(super) fn chunk(&self, wanted: u64) -> Option<u64> {
        match self.chunks {
            Chunks::Any => Some(wanted),
            Chunks::AtMost(most) => Some(wanted.min(most)),
            Chunks::No => None,
        }
    }
}

/// Returns whether `host` is of the form `pattern`.
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
