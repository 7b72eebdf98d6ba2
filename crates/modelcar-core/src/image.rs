//! Makes the JSON of an image: a config and a manifest for each platform, and the index over the manifests.
//!
//! The plan and the verified layers decide every byte, so that the same plan and layers give the same digest. All
//! platforms share the weight layers.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci_spec::{
    OciSpecError,
    image::{
        ConfigBuilder, Descriptor, DescriptorBuilder, History, HistoryBuilder, ImageConfigurationBuilder,
        ImageIndexBuilder, ImageManifestBuilder, MediaType, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
    },
};

use crate::{
    ContentId, Digest, Platform,
    base::BasePlatform,
    blob::VerifiedBlob,
    error::{ErrorKind, ModelcarError, Result},
    oci::{LAYER_FILES, MAX_JSON_BYTES, canonical_json, canonical_value},
    plan::{Layer, Plan, PlanError, recipe},
    sink::ManifestBlob,
};

/// Id of KServe's default user for the sidecar. The user has no entry in a passwd file, on purpose: an entry with
/// another group would change the group that the container runtime chooses, and KServe's server could then not read the
/// sidecar's root directory.
const USER: &str = "1010";
/// The environment of the sidecar, in which its shell finds programs.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `ModelPack`'s annotation for the path of the only file in a layer. Layers with several files do not have the
/// annotation.
const FILE_PATH: &str = "org.cncf.model.filepath";
/// Annotation of a weight layer: digest of the layer's recipe.
pub(crate) const RECIPE: &str = "io.modelcar.layer.recipe";

/// The image's JSON could not be made. The types of the image-spec refused a value, which is a bug of this library.
#[derive(Debug, thiserror::Error)]
#[error("make the image's manifests")]
pub(crate) struct ManifestError(#[from] OciSpecError);

impl ModelcarError for ManifestError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

/// The config and manifest of an image for one platform.
#[derive(Debug, Clone)]
pub(crate) struct PlatformImage {
    /// The platform, as the index states it.
    pub(crate) platform: Platform,
    /// The config, as canonical JSON. Its digest is in the manifest.
    pub(crate) config: Bytes,
    /// The manifest, whose digest the index has.
    pub(crate) manifest: ManifestBlob,
}

/// Checks that the image's manifests will be small enough for registries: 4 MiB for each platform. No layer has to
/// exist yet: digests and content ids that are still unknown have a known length.
///
/// # Errors
/// [`PlanError::ManifestTooLarge`] with the number of files and the size in bytes.
pub fn check_manifests(plan: &Plan) -> Result<()> {
    let (digest, unknown) = (Digest::from([0; 32]), ContentId::Sha256([0; 32]));
    let verified = |layer: &Layer| {
        let files = layer.files.iter().map(|file| file.content.unwrap_or(unknown)).collect();
        VerifiedBlob { digest, size: layer.size, diff_id: digest, files }
    };
    let verified: Vec<VerifiedBlob> = plan.layers().iter().map(verified).collect();
    for target in &plan.base().platforms {
        let bytes = platform_image(plan, target, &verified)?.manifest.bytes.len() as u64;
        if bytes > MAX_JSON_BYTES {
            let files = plan.layers().iter().map(|layer| layer.files.len()).sum();
            return Err(PlanError::ManifestTooLarge { files, bytes, max: MAX_JSON_BYTES }.into());
        }
    }
    Ok(())
}

/// Makes the config and manifest for `target`. `verified` has one entry for each layer of the plan, in the plan's
/// order. The layers of the base image come first.
///
/// # Errors
/// [`ManifestError`] when a value does not fit the types of the image-spec.
pub(crate) fn platform_image(
    plan: &Plan,
    target: &BasePlatform,
    verified: &[VerifiedBlob],
) -> Result<PlatformImage, ManifestError> {
    let config = Bytes::from(config(plan, target, verified)?);
    let mut layers = Vec::new();
    for layer in &target.layers {
        layers.push(descriptor(layer.media_type.as_str().into(), &layer.digest, layer.size, &BTreeMap::new())?);
    }
    for (layer, verified) in plan.layers().iter().zip(verified) {
        layers.push(weight_layer(layer, plan.mtime(), verified)?);
    }
    let config_descriptor =
        descriptor(MediaType::ImageConfig, &Digest::of(&config), config.len() as u64, &BTreeMap::new())?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config_descriptor)
        .layers(layers)
        .annotations(unordered(plan.annotations()))
        .build()?;
    let manifest = manifest_blob(&manifest, &MediaType::ImageManifest);
    Ok(PlatformImage { platform: target.platform.clone(), config, manifest })
}

/// Makes the index over `images`, in the order of `images`. The index has the plan's annotations.
///
/// # Errors
/// As [`platform_image`].
pub(crate) fn index(plan: &Plan, images: &[PlatformImage]) -> Result<ManifestBlob, ManifestError> {
    let mut manifests = Vec::new();
    for image in images {
        let mut platform = PlatformBuilder::default()
            .os(image.platform.os.as_str())
            .architecture(image.platform.architecture.as_str());
        if let Some(variant) = &image.platform.variant {
            platform = platform.variant(variant.clone());
        }
        let entry = DescriptorBuilder::default()
            .media_type(MediaType::ImageManifest)
            .digest(oci_digest(&image.manifest.digest)?)
            .size(image.manifest.bytes.len() as u64)
            .platform(platform.build()?);
        manifests.push(entry.build()?);
    }
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .annotations(unordered(plan.annotations()))
        .build()?;
    Ok(manifest_blob(&index, &MediaType::ImageIndex))
}

/// Makes the config: user, environment, labels, diff ids and a history with one entry for each layer. The time of
/// creation is the plan's file time, so that a repeated build gives the same bytes.
fn config(plan: &Plan, target: &BasePlatform, verified: &[VerifiedBlob]) -> Result<Vec<u8>, OciSpecError> {
    let created = rfc3339(plan.mtime());
    let below = target.layers.iter().map(|layer| layer.diff_id.to_string());
    let weights = verified.iter().map(|verified| verified.diff_id.to_string());
    let base_lines = target.layers.iter().map(|layer| format!("base layer {}", layer.digest));
    let weight_lines = plan.layers().iter().map(|layer| format!("weights: {}", layer.title()));
    let history: Vec<History> = base_lines
        .chain(weight_lines)
        .map(|line| HistoryBuilder::default().created(created.clone()).created_by(line).build())
        .collect::<Result<_, _>>()?;
    let run =
        ConfigBuilder::default().user(USER).env(vec![PATH.to_owned()]).labels(unordered(plan.annotations())).build()?;
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids(below.chain(weights).collect::<Vec<_>>()).build()?;
    let mut config = ImageConfigurationBuilder::default()
        .created(created)
        .os(target.platform.os.as_str())
        .architecture(target.platform.architecture.as_str())
        .config(run)
        .rootfs(rootfs)
        .history(history)
        .build()?;
    config.set_variant(target.platform.variant.clone());
    Ok(canonical_json(&config))
}

/// Makes the descriptor of a weight layer, with annotations for its recipe and files. A later push reads these
/// annotations to reuse the layer. `mtime` is the time of the files, in seconds since 1970.
pub(crate) fn weight_layer(layer: &Layer, mtime: u64, verified: &VerifiedBlob) -> Result<Descriptor, ManifestError> {
    let annotations = layer_annotations(layer, mtime, verified);
    Ok(descriptor(MediaType::ImageLayer, &verified.digest, verified.size, &annotations)?)
}

/// Returns the annotations of a weight layer. Content ids are those that were verified, not those that the source
/// listed.
fn layer_annotations(layer: &Layer, mtime: u64, verified: &VerifiedBlob) -> BTreeMap<String, String> {
    let files: Vec<_> = layer
        .files
        .iter()
        .zip(&verified.files)
        .map(|(file, content)| serde_json::json!({ "path": file.path, "size": file.size, "content": content }))
        .collect();
    let mut annotations = BTreeMap::from([
        (RECIPE.to_owned(), recipe::digest_of(layer, mtime, &verified.files).to_string()),
        (LAYER_FILES.to_owned(), canonical_value(&files).to_string()),
    ]);
    if let [file] = layer.files.as_slice() {
        annotations.insert(FILE_PATH.to_owned(), file.path.to_string());
    }
    annotations
}

/// Makes a descriptor. Without `annotations` the member is left out, so that no empty object changes the digest.
fn descriptor(
    media_type: MediaType,
    digest: &Digest,
    size: u64,
    annotations: &BTreeMap<String, String>,
) -> Result<Descriptor, OciSpecError> {
    let builder = DescriptorBuilder::default().media_type(media_type).digest(oci_digest(digest)?).size(size);
    if annotations.is_empty() { builder.build() } else { builder.annotations(unordered(annotations)).build() }
}

/// Converts annotations for the types of the image-spec.
#[expect(clippy::disallowed_types, reason = "the image types keep annotations so; they are sorted when written")]
fn unordered(map: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    map.clone().into_iter().collect()
}

/// Converts a digest for the types of the image-spec.
fn oci_digest(digest: &Digest) -> Result<oci_spec::image::Digest, OciSpecError> {
    digest.to_string().parse()
}

/// Writes an index or manifest as canonical JSON and computes its digest.
fn manifest_blob(value: &impl serde::Serialize, media_type: &MediaType) -> ManifestBlob {
    let bytes = Bytes::from(canonical_json(value));
    ManifestBlob { digest: Digest::of(&bytes), bytes, media_type: media_type.to_string() }
}

/// Formats seconds since 1970 as RFC 3339 in UTC (Howard Hinnant's civil-from-days).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Base,
        plan::PlanOptions,
        source::{Origin, SourceFile},
    };

    #[test]
    fn times_are_calendar_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    fn many(files: usize, name_bytes: usize) -> Plan {
        let name = |at: usize| format!("{at:05}{}", "n".repeat(name_bytes - 5));
        let content = |at: usize| [None, Some(ContentId::GitSha1([7; 20])), Some(ContentId::Sha256([9; 32]))][at % 3];
        let file = |at: usize| SourceFile { path: name(at).parse().unwrap(), size: 10, content: content(at) };
        let files = (0..files).map(file).collect();
        Plan::new(&Origin::default(), files, &Base::scratch().image, &PlanOptions::default()).unwrap()
    }

    #[tokio::test]
    async fn more_files_than_a_manifest_holds_are_refused_before_anything_moves() {
        check_manifests(&many(20_000, 40)).unwrap();
        let plan = many(30_000, 40);
        // It reads nothing: the source has none of the files.
        let dir = tempfile::tempdir().unwrap();
        let source = std::sync::Arc::new(crate::source::DirSource::open(dir.path()).await.unwrap());
        let sink = crate::layout::LayoutSink::create(&dir.path().join("image"), None).await.unwrap();
        let options = crate::BuildOptions::default();
        let error = crate::build(&plan, source, &Base::scratch(), &sink, &options).await.unwrap_err();
        let Some(&PlanError::ManifestTooLarge { files, bytes, max }) = error.downcast_ref() else { panic!("{error}") };
        assert_eq!((files, max), (30_000, 4 << 20));
        assert!(bytes > max);
    }

    /// The exact bytes: a change here changes every image's digest.
    #[test]
    fn an_image_is_these_bytes() {
        let origin = Origin { title: Some("o/n".into()), license: Some("mit".into()), ..Origin::default() };
        let files = vec![SourceFile { path: "config.json".parse().unwrap(), size: 2, content: None }];
        let plan = Plan::new(&origin, files, &Base::scratch().image, &PlanOptions::default()).unwrap();
        let digest = Digest::of("layer");
        let content = crate::ContentId::GitSha1([7; 20]);
        let verified = [VerifiedBlob { digest, size: 2560, diff_id: digest, files: vec![content] }];
        let image = platform_image(&plan, &plan.base().platforms[0], &verified).unwrap();
        let labels = r#"{"org.opencontainers.image.licenses":"mit","org.opencontainers.image.title":"o/n"}"#;
        let config = format!(
            r#"{{"architecture":"amd64","config":{{"Env":["{PATH}"],"Labels":{labels},"User":"1010"}},"created":"1970-01-01T00:00:00Z","history":[{{"created":"1970-01-01T00:00:00Z","created_by":"weights: config.json"}}],"os":"linux","rootfs":{{"diff_ids":["{digest}"],"type":"layers"}}}}"#
        );
        assert_eq!(String::from_utf8_lossy(&image.config), config);
        let recipe = recipe::digest_of(&plan.layers()[0], 0, &[content]);
        let manifest = format!(
            r#"{{"annotations":{labels},"config":{{"digest":"{}","mediaType":"application/vnd.oci.image.config.v1+json","size":{}}},"layers":[{{"annotations":{{"io.modelcar.layer.files":"[{{\"content\":\"{content}\",\"path\":\"config.json\",\"size\":2}}]","io.modelcar.layer.recipe":"{recipe}","org.cncf.model.filepath":"config.json"}},"digest":"{digest}","mediaType":"application/vnd.oci.image.layer.v1.tar","size":2560}}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}}"#,
            Digest::of(&config),
            config.len()
        );
        assert_eq!(String::from_utf8_lossy(&image.manifest.bytes), manifest);
        let index = index(&plan, &[image]).unwrap();
        let text = String::from_utf8_lossy(&index.bytes).into_owned();
        assert!(text.contains(r#""platform":{"architecture":"amd64","os":"linux"}"#), "{text}");
        assert!(text.starts_with(&format!(r#"{{"annotations":{labels},"manifests":"#)), "{text}");
    }
}
