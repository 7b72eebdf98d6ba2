//! What `kubectl get -o json` prints.

use std::slice;

use modelcar_core::Digest;
use modelcar_kserve::check::{CheckReport, Expected, Mode, check, check_value};
use serde_json::Value;

use crate::checks::{brief, brief_error, planted};

/// Bytes of a report without a pod, and how often all findings together may repeat the input.
const REPORT_BYTES: usize = 4096;
const REPEATS: usize = 256;

pub(crate) fn pods(data: &[u8]) {
    let expected = Expected { digest: Some(Digest::of("expected")), ..Expected::default() };
    let report = match check(data, &expected) {
        Ok(report) => report,
        Err(error) => return brief_error(&error, data),
    };
    let object: Value = serde_json::from_slice(data).expect("the same bytes were JSON");
    let again = check_value(slice::from_ref(&object), &expected).expect("the same object was checked");
    assert_eq!(report, again, "text and value differ");
    for finding in report.pods.iter().flat_map(|pod| &pod.findings) {
        brief(finding, data);
    }
    let len = serde_json::to_string(&report).expect("a report is JSON").len();
    assert!(len <= REPORT_BYTES + REPEATS * data.len(), "a report of {len} bytes about {} bytes", data.len());
    plant(&report);
}

fn plant(report: &CheckReport) {
    let pod = report.pods.iter().find(|pod| pod.mode == Mode::Modelcar && !pod.findings.is_empty());
    planted(pod.map_or(0, |pod| pod.name.len()), [40, 42, 44]);
}
