"""Plays a pod of KServe without a container runtime: a sidecar in a root of its own, and a server that looks into it.

    pod.py ROOTFS SHARED SIDECAR_UID:GID SERVER_UID:GID COMMAND

The sidecar runs `sh -c COMMAND` in ROOTFS (its own mount namespace, pivot_root), with the folder SHARED at /mnt, as KServe's
sidecar has it. The server, another process with the processes shared, reads SHARED/models and prints the embeddings of
serve_minilm.py. Needs root. Exit status 3: the server may not read.
"""

import ctypes
import json
import os
import platform
import signal
import sys
import time

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[platform.machine()]
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def mount(source, target, kind=None, flags=0):
    call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, None)


def become(ids):
    uid, gid = map(int, ids.split(":"))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def sidecar(rootfs, shared, ids, command):
    call("unshare", CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(rootfs, rootfs, None, MS_BIND)
    for folder in ("mnt", "proc", ".old"):
        os.makedirs(os.path.join(rootfs, folder), exist_ok=True)
    mount(shared, os.path.join(rootfs, "mnt"), None, MS_BIND)
    mount("proc", os.path.join(rootfs, "proc"), "proc")
    os.chdir(rootfs)
    call("syscall", PIVOT_ROOT, b".", b".old")
    os.chdir("/")
    call("umount2", b"/.old", MNT_DETACH)
    become(ids)
    # A search along PATH would load modules, which this root does not have.
    os.execve("/bin/sh", ["sh", "-c", command], {"PATH": "/usr/bin:/bin"})


def main():
    rootfs, shared, sidecar_ids, server_ids, command = sys.argv[1:]
    os.chmod(shared, 0o777)
    child = os.fork()
    if child == 0:
        try:
            sidecar(rootfs, shared, sidecar_ids, command)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
        finally:
            os._exit(127)
    link = os.path.join(shared, "models")
    try:
        end = time.monotonic() + 10
        while not os.path.islink(link):
            if time.monotonic() > end:
                sys.exit("the sidecar made no link")
            time.sleep(0.02)
        # Libraries are loaded as root: their folder may not be readable for the server's user.
        import numpy, safetensors.numpy, tokenizers  # noqa: F401, E401

        import serve_minilm

        become(server_ids)
        try:
            os.listdir(link)
        except PermissionError as error:
            print(error, file=sys.stderr)
            sys.exit(3)
        model = serve_minilm.MiniLM(link)
        print(json.dumps([model.embed(sentence) for sentence in serve_minilm.SENTENCES]))
    finally:
        # This process may have lost the right to end the sidecar; then its parent does.
        try:
            os.kill(child, signal.SIGKILL)
        except PermissionError:
            pass


main()
