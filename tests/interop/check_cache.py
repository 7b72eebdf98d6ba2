#!/usr/bin/env python3
"""Fills a cache from a Hub, or loads a model from a cache without the Hub, with the real huggingface_hub client.

    check_cache.py fill|load ENDPOINT OWNER/NAME REVISION CACHE DIR

Compares the snapshot with the files in DIR and prints its commit.
"""

import os
import sys
from pathlib import Path


def fail(message: str) -> None:
    sys.exit(f"check_cache: {message}")


def main() -> None:
    act, endpoint, repo, revision, cache, folder = sys.argv[1:7]
    # Before the import: the library reads its settings once.
    os.environ |= {"HF_HUB_CACHE": cache, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1",
                   "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if act == "load":
        os.environ["HF_HUB_OFFLINE"] = "1"
    from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

    wanted = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    snapshot = Path(snapshot_download(repo, revision=revision))
    got = {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}
    if got != wanted:
        fail(f"the snapshot has {sorted(got)}, not {sorted(wanted)}, or other contents")
    for path, content in wanted.items():
        if Path(hf_hub_download(repo, path, revision=revision)).read_bytes() != content:
            fail(f"{path} has other content")
    scanned = scan_cache_dir(cache)
    if scanned.warnings:
        fail(f"the cache is odd: {scanned.warnings}")
    names = [found.repo_id for found in scanned.repos]
    if names != [repo]:
        fail(f"the cache has {names}")
    print(snapshot.name)


if __name__ == "__main__":
    main()
