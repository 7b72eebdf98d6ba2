//! The Hugging Face cache between modelcar and the Hub's Python client, in both directions.

use super::*;

#[test]
fn the_real_client_and_modelcar_share_a_cache() {
    if !available(&[Part::PythonPackages]) {
        return;
    }
    let work = TempDir::new().unwrap();
    let hub = FakeHub::start_blocking(HubConfig { page_size: 4, ..HubConfig::default() });
    let commit = hub.add_repo("acme/tiny", "main", ModelTree::from_dir(&fixture(), 20_000).unwrap());
    let client = |act: &str, folder: &str| {
        let mut client = python_with_packages();
        client.arg(script("check_cache.py")).args([act, &hub.endpoint(), "acme/tiny", "main"]);
        run(client.arg(work.path().join(folder)).arg(fixture())).trim().to_owned()
    };
    let build = |source: &str, output: &str, cache: Option<&str>| {
        let mut build = modelcar(work.path());
        build.current_dir(work.path()).env("HF_ENDPOINT", hub.endpoint());
        if let Some(cache) = cache {
            build.env("HF_HUB_CACHE", cache).env("HF_HUB_OFFLINE", "1");
        }
        run(build.args(["build", source, "--base", "scratch", "--output", output]))
    };
    let of_hub = build("acme/tiny", "oci:of-hub", None);

    assert_eq!(client("fill", "theirs"), commit);
    assert_eq!(build("acme/tiny", "oci:offline", Some("theirs")), of_hub);
    assert_eq!(build("hf-cache://acme/tiny@main", "oci:cached", Some("theirs")), of_hub);

    let mut download = modelcar(work.path());
    download.current_dir(work.path()).env("HF_ENDPOINT", hub.endpoint());
    run(download.args(["download", "acme/tiny", "ours", "--layout", "hf-cache"]));
    assert_eq!(client("load", "ours"), commit);
    assert_eq!(build("hf-cache://acme/tiny", "oci:of-ours", Some("ours")), of_hub);
}
