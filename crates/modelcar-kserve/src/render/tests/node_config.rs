//! The settings for nodes.

use super::*;

#[test]
fn the_settings_are_a_file_of_containerd() {
    let text = node_config(&qwen());
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
        insta::assert_snapshot!("node-config", text);
    });
    // What is no comment is a table or a value.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (tables, values): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('['));
    assert_eq!(tables.len(), 2, "{tables:?}");
    assert!(values.len() == 5 && values.iter().all(|line| line.contains(" = ")), "{values:?}");
    // The CRI plugin's own limit would turn the transfer service off.
    let cri = text.split("io.containerd.cri.v1.images\"]").nth(1).unwrap();
    assert!(!cri.lines().any(|line| line.trim().starts_with("max_concurrent_downloads")), "{cri}");
}

#[test]
fn what_is_said_of_the_image_is_its_own() {
    let mut large = qwen();
    large.pull = PullTime::of_layers(&[40_000_000_000]);
    let text = node_config(&large);
    assert!(text.contains("about 6 min with containerd's defaults, 64 s on a tuned node"), "{text}");
    assert!(text.contains("# One layer has more than 10 GB") && !node_config(&qwen()).contains("One layer"), "{text}");
}
