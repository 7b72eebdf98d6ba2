//! `modelcar download`: proven files, also after many kills, and a cache that gives the image of the Hub.

use std::{path::Path, process::Child, thread, time::Duration};

use modelcar_testkit::synthetic_model;

use super::*;

const KILLS: u64 = 20;
const SHARDS: usize = 3;
const SHARD: u64 = 24 << 20;
/// What a kill may cost: for each of two files a part in flight, one that waits, and what is on its way to the disk.
const LOST_MOST: u64 = 2 * 3 * (1 << 20);

/// The finishing step of the splitmix64 generator.
fn random(seed: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Returns the files below a folder with their contents' digests, links followed.
fn files(folder: &Path) -> Vec<(String, String)> {
    let tree = ModelTree::from_dir(folder, u64::MAX).unwrap();
    tree.files().map(|(path, file)| (path.to_owned(), file.sha256().to_owned())).collect()
}

fn expected(tree: &ModelTree) -> Vec<(String, String)> {
    tree.files().map(|(path, file)| (path.to_owned(), file.sha256().to_owned())).collect()
}

/// Waits until the Hub has sent so many bytes, or the child has ended by itself; returns whether it was killed.
fn kill_at(child: &mut Child, hub: &FakeHub, bytes: u64) -> bool {
    while hub.bytes_sent() < bytes {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn a_download_that_is_killed_twenty_times_ends_with_the_same_files() {
    let env = Env::new();
    let tree = synthetic_model(SHARDS, SHARD);
    env.hub.add_repo(MODEL, "main", tree.clone());
    let args =
        ["download", MODEL, "out", "--jobs", "2", "--connections", "2", "--read-ahead", "1MiB", "--progress", "none"];
    let (mut killed, step) = (0, tree.total_size() / KILLS);
    for kill in 0..KILLS {
        let at = env.hub.bytes_sent() + random(kill) % step;
        let mut child = env.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        killed += u64::from(kill_at(&mut child, &env.hub, at));
    }
    assert_eq!(env.answer(&args), "out");
    assert_eq!(files(&env.dir.path().join("out")), expected(&tree));
    let again = env.hub.bytes_sent().saturating_sub(tree.total_size());
    println!("{killed} of {KILLS} kills before the end; {again} bytes fetched again, {} a kill", again / killed.max(1));
    assert!(again <= killed * LOST_MOST, "{again} bytes again after {killed} kills");
    let before = env.hub.bytes_sent();
    assert_eq!(env.answer(&args), "out");
    assert_eq!(env.hub.bytes_sent(), before, "finished files are not fetched again");
}

#[test]
fn a_downloaded_cache_gives_the_image_of_the_hub() {
    let env = Env::new();
    let commit = env.hub.add_repo(MODEL, "main", tiny_model().file("copy.json", "{}").file("other.json", "{}"));
    let folder = env.answer(&["download", MODEL, "hub", "--layout", "hf-cache"]);
    assert_eq!(folder, format!("hub/models--acme--tiny/snapshots/{commit}"));
    let of_hub = env.answer(&["build", MODEL, "--base", "scratch", "--output", "oci:a"]);
    let cached = |args: &[&str]| {
        let output = env.command(args).env("HF_HUB_CACHE", "hub").env("HF_HUB_OFFLINE", "1").output().unwrap();
        (output.status.code(), text(&output.stdout).trim_end().to_owned(), text(&output.stderr))
    };
    let build = ["build", "hf-cache://acme/tiny", "--base", "scratch", "--output", "oci:b"];
    assert_eq!(cached(&build).1, of_hub);
    assert_eq!(cached(&["download", MODEL, "flat"]).1, "flat");
    assert_eq!(files(&env.dir.path().join("flat")), files(&env.dir.path().join(folder)));
}

#[test]
fn what_can_not_be_downloaded_is_said() {
    let env = Env::new();
    env.refused(&["download", MODEL, "out", "--include", "nothing"], &["no file of", "left to download"]);
    tiny_model().write_to(&env.dir.path().join("m")).unwrap();
    env.refused(&["download", "./m", "out", "--layout", "hf-cache"], &["`./m`", "not a model of the Hub"]);
    fs::create_dir_all(env.dir.path().join("linked")).unwrap();
    std::os::unix::fs::symlink("/tmp", env.dir.path().join("linked/1_Pooling")).unwrap();
    env.refused(&["download", MODEL, "linked"], &["linked/1_Pooling` is a link"]);
    env.hub.fault(FaultRule::new("model-00001", HubAction::Corrupt { at: 500 }));
    env.refused(&["download", MODEL, "out"], &["`model-00001-of-", "is not what the source lists"]);
    let names = fs::read_dir(env.dir.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with("model-00001")));
    env.hub.clear_faults();
    env.answer(&["download", MODEL, "out"]);
    assert_eq!(files(&env.dir.path().join("out")), expected(&tiny_model()));
}

#[test]
fn an_unfinished_download_is_no_model() {
    let env = Env::new();
    env.answer(&["download", MODEL, "out"]);
    fs::create_dir_all(env.dir.path().join("out/.cache/modelcar")).unwrap();
    let build = ["build", "./out", "--base", "scratch", "--output", "oci:x"];
    env.refused(&build, &[".cache/modelcar` is an unfinished file of an interrupted download"]);
}
