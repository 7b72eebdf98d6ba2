//! Layers that other programs wrote, as a lint reads them.

use bytes::Bytes;
use modelcar_kserve::lint::{self, Depth, LintFinding, LintOptions, LintReport};
use serde_json::json;

use crate::{
    checks::{brief, brief_error, planted},
    memory::{Stored, image, wait},
};

const BLOCK: usize = 512;
/// Where a header has the size of the content, and the sum of its own bytes.
const SIZE: std::ops::Range<usize> = 124..135;
const SUM: std::ops::Range<usize> = 148..156;
/// Most findings of one platform, whatever a layer holds.
const FINDINGS_MAX: usize = 64;

/// A tar. The sums of its headers are set right, because no change of a header would get past a wrong one.
pub(crate) fn layer(data: &[u8]) {
    lint("application/vnd.oci.image.layer.v1.tar", with_sums(data), data);
}

/// A tar in gzip, as it is.
pub(crate) fn layer_gzip(data: &[u8]) {
    lint("application/vnd.oci.image.layer.v1.tar+gzip", data.to_vec(), data);
}

fn lint(media_type: &str, layer: Vec<u8>, data: &[u8]) {
    let mut stored = Stored::default();
    let below = base_layer();
    let mut descriptor = |media_type: &str, blob: Bytes| {
        let size = blob.len();
        json!({"mediaType": media_type, "digest": stored.add(blob), "size": size})
    };
    let layers =
        json!([descriptor("application/vnd.oci.image.layer.v1.tar", below), descriptor(media_type, layer.into())]);
    let config = json!({"os": "linux", "architecture": "amd64", "config": {"User": "1010", "Env": ["PATH=/bin"]}});
    let config = descriptor("application/vnd.oci.image.config.v1+json", config.to_string().into());
    stored.add(json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string());
    let report = |depth| wait(lint::registry(&stored, &image(), LintOptions { depth, ..LintOptions::default() }));
    let names = match report(Depth::Names) {
        Ok(names) => names,
        Err(error) => return brief_error(&error, data),
    };
    assert_eq!(report(Depth::All).ok().as_ref(), Some(&names), "small layers are read whole");
    let findings: Vec<&LintFinding> = names.platforms.iter().flat_map(|platform| &platform.findings).collect();
    assert!(findings.len() <= FINDINGS_MAX, "{} findings", findings.len());
    findings.iter().for_each(|finding| brief(finding, data));
    plant(&names);
}

fn plant(report: &LintReport) {
    for finding in report.platforms.iter().flat_map(|platform| &platform.findings) {
        match finding {
            LintFinding::ModelsLink { target } => planted(target.len(), [10, 12, 14]),
            LintFinding::PasswdGroup { group, .. } => planted(group.len(), [4, 5, 6]),
            _ => {}
        }
    }
}

/// A layer with a shell, and with a folder for the models.
fn base_layer() -> Bytes {
    let mut layer = Vec::new();
    for (name, kind) in [("bin/", b'5'), ("bin/sh", b'0'), ("models/", b'5'), ("models/config.json", b'0')] {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[SIZE].copy_from_slice(b"00000000000");
        header[156] = kind;
        layer.extend(header);
    }
    layer.extend([0; 2 * BLOCK]);
    with_sums(&layer).into()
}

/// Returns a tar with the right sum in every header.
fn with_sums(tar: &[u8]) -> Vec<u8> {
    let (mut tar, mut at) = (tar.to_vec(), 0);
    while let Some(header) = tar.get_mut(at..).and_then(|rest| rest.get_mut(..BLOCK)) {
        at += BLOCK;
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        header[SUM].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = str::from_utf8(&header[SIZE]).ok().and_then(|size| usize::from_str_radix(size.trim(), 8).ok());
        at = at.saturating_add(size.unwrap_or_default().next_multiple_of(BLOCK));
    }
    tar
}
