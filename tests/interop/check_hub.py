#!/usr/bin/env python3
"""Reads a repository with the real huggingface_hub client and compares it with a folder.

    check_hub.py ENDPOINT OWNER/NAME REVISION DIR

Shows that the fake Hub answers the way that client expects. Prints the commit.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def fail(message: str) -> None:
    sys.exit(f"check_hub: {message}")


def expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        fail(f"{what} is {got!r}, not {wanted!r}")


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(content: bytes) -> bytes:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


def check_ids(path: str, content: bytes, blob_id: str, size: int, lfs) -> None:
    """Compares the ids that a listing gives with those of the content. Only some files are in LFS."""
    expect(f"size of {path}", size, len(content))
    if lfs is None:
        expect(f"blob id of {path}", blob_id, git_blob(content))
    else:
        expect(f"LFS id of {path}", (lfs.sha256, lfs.size), (hashlib.sha256(content).hexdigest(), len(content)))
        expect(f"blob id of {path}", blob_id, git_blob(pointer(content)))


def main() -> None:
    endpoint, repo, revision, folder = sys.argv[1:5]
    with tempfile.TemporaryDirectory() as home:
        # Before the import: the library reads its settings once.
        os.environ |= {"HF_HOME": home, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1",
                       "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        os.environ.pop("HF_HUB_OFFLINE", None)
        compare(endpoint, repo, revision, Path(folder))


def compare(endpoint: str, repo: str, revision: str, folder: Path) -> None:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    wanted = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    api = HfApi(endpoint=endpoint)

    info = api.model_info(repo, revision=revision, files_metadata=True)
    expect("id", info.id, repo)
    expect("files of model_info", sorted(file.rfilename for file in info.siblings), sorted(wanted))
    for file in info.siblings:
        check_ids(file.rfilename, wanted[file.rfilename], file.blob_id, file.size, file.lfs)

    tree = [file for file in api.list_repo_tree(repo, revision=revision, recursive=True) if isinstance(file, RepoFile)]
    expect("files of list_repo_tree", sorted(file.path for file in tree), sorted(wanted))
    for file in tree:
        check_ids(file.path, wanted[file.path], file.blob_id, file.size, file.lfs)

    for path, content in wanted.items():
        got = Path(hf_hub_download(repo, path, revision=revision, endpoint=endpoint))
        expect(f"content of {path}", got.read_bytes() == content, True)
        expect(f"snapshot of {path}", info.sha in got.parts, True)

    # By commit, as modelcar reads.
    snapshot = Path(snapshot_download(repo, revision=info.sha, endpoint=endpoint))
    got = {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}
    expect("snapshot", got == wanted, True)

    for error, call in (
        (RepositoryNotFoundError, lambda: api.model_info(f"{repo}-that-is-not-there")),
        (RevisionNotFoundError, lambda: api.model_info(repo, revision="not-there")),
        (EntryNotFoundError, lambda: hf_hub_download(repo, "not-there", revision=revision, endpoint=endpoint)),
    ):
        try:
            call()
        except error:
            continue
        fail(f"no {error.__name__}")
    print(info.sha)


if __name__ == "__main__":
    main()
