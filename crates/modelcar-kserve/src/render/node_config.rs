//! Settings with which a node's container runtime pulls large images fast, as a file of containerd with comments.

use modelcar_core::text::one_line;

use super::served_image::ServedImage;

/// The file, but for what is said of the image. Every line that is no comment is one of containerd's.
const SETTINGS: &str = r#"
# containerd 2.1 or later: write this to /etc/containerd/config.toml, and restart containerd.
version = 3

[plugins."io.containerd.transfer.v1.local"]
  # Connections of the whole node.
  max_concurrent_downloads = 10
  # Layers are downloaded in chunks of 16 MiB, each over a connection of its own. Each connection holds one chunk in
  # memory. Some registries and proxies answer requests for parts of a layer wrongly: try one node first.
  concurrent_layer_fetch_buffer = 16777216
  # containerd 2.2 or later: layers that are unpacked at once.
  max_concurrent_unpacks = 8

[plugins."io.containerd.cri.v1.images"]
  # A pull without progress is cancelled after this time. A large layer on a slow disk needs more than the 5 minutes
  # that containerd waits otherwise.
  image_pull_progress_timeout = "30m0s"

# Traps. Each of these settings of the plugin io.containerd.cri.v1.images turns the settings of the transfer service
# above off, without a message:
#   max_concurrent_downloads with any value but 3 (the value above belongs to another plugin)
#   discard_unpacked_layers = true
#   image_pull_with_sync_fs = true
#   registry mirrors, configs or auths in config.toml (config_path with a hosts.toml is fine)
# With discard_unpacked_layers, a node needs less disk at rest, and pulls as slowly as by default.
#
# SOCI snapshotter 0.15 or later: /etc/soci-snapshotter-grpc/config.toml
#   [pull_modes.parallel_pull_unpack]
#     enable = true
#     max_concurrent_downloads_per_image = 20
#     concurrent_download_chunk_size = "16mb"
#     max_concurrent_unpacks_per_image = 10
#     discard_unpacked_layers = true
#
# Bottlerocket: the chunks are off unless user data sets their size in bytes.
#   [settings.container-runtime]
#   concurrent-download-chunk-size = 16777216
#
# CRI-O: nothing to set. CRI-O downloads 6 layers at once, in one connection each, and commits them one by one.
"#;

/// Returns settings of containerd, and of other container runtimes in comments, for nodes that pull the image `served`.
///
/// The settings are the same for every image; the comment says how long the pull takes with and without them.
pub fn node_config(served: &ServedImage) -> String {
    let pull = served.pull;
    let mut text = format!("# For nodes that pull {}.\n# Pull: {pull}.\n", one_line(&served.pinned()));
    if pull.has_large_layer() {
        text.push_str(
            "# One layer has more than 10 GB: its pull is faster only if the node downloads layers in chunks.\n",
        );
    }
    text + SETTINGS
}
