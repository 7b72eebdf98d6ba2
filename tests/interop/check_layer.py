#!/usr/bin/env python3
"""Reads a layer with Python's tarfile and compares it with the model's folder.

    check_layer.py LAYER.tar MODEL_DIR [MTIME]

The layer may hold some of the model's files only; what it holds has to be right. `-` reads the layer from stdin.
Prints the number of files compared.
"""

import os
import sys
import tarfile

CHUNK = 1 << 20


def fail(message: str) -> None:
    sys.exit(f"check_layer: {message}")


def expect(name: str, what: str, got: object, wanted: object) -> None:
    if got != wanted:
        fail(f"{name}: {what} is {got!r}, not {wanted!r}")


def same_content(member, path: str) -> bool:
    with open(path, "rb") as wanted:
        while True:
            left, right = member.read(CHUNK), wanted.read(CHUNK)
            if left != right:
                return False
            if not left:
                return True


def check(layer: tarfile.TarFile, model: str, mtime: int) -> int:
    names: list[bytes] = []
    files = 0
    for member in layer:
        name = member.name + ("/" if member.isdir() else "")
        names.append(name.encode("utf-8", "surrogateescape"))
        expect(name, "owner", (member.uid, member.gid, member.uname, member.gname), (0, 0, "", ""))
        expect(name, "mtime", member.mtime, mtime)
        if not name.startswith("models/"):
            fail(f"{name}: lies outside models/")
        path = os.path.join(model, name[len("models/"):])
        if member.isdir():
            expect(name, "mode", oct(member.mode), "0o755")
            expect(name, "being a folder", os.path.isdir(path), True)
        elif member.type == tarfile.REGTYPE:
            expect(name, "mode", oct(member.mode), "0o644")
            expect(name, "size", member.size, os.path.getsize(path))
            expect(name, "equal content", same_content(layer.extractfile(member), path), True)
            files += 1
        else:
            fail(f"{name}: type {member.type!r} does not belong here")
        parent = name.rstrip("/").rpartition("/")[0]
        if parent and f"{parent}/".encode() not in names:
            fail(f"{name}: its folder does not stand before it")
    expect("layer", "order of names", names, sorted(set(names)))
    if not files:
        fail("no file in the layer")
    return files


def main() -> None:
    path, model = sys.argv[1:3]
    mtime = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    if path == "-":
        layer = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
    else:
        layer = tarfile.open(path, mode="r:")
    with layer:
        print(check(layer, model, mtime))


if __name__ == "__main__":
    main()
