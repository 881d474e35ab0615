"""The control of `tttcfg migrate --write`: the same reads and writes, without parsing what was read."""

import os
import sys

NAME = "training_config.json"


def write(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(descriptor, data)
    if FSYNC:
        os.fsync(descriptor)
    os.close(descriptor)


def replace(folder: str, data: bytes) -> None:
    path = os.path.join(folder, NAME)
    with open(path, "rb") as file:
        old = file.read()
    write(f"{path}.tmp", data, 0o644)
    write(f"{path}.v3.bak", old, 0o644)
    os.replace(f"{path}.tmp", path)
    if FSYNC:
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main(root: str, payload: str) -> None:
    with open(payload, "rb") as file:
        data = file.read()
    for folder, folders, files in os.walk(root):
        folders.sort()
        if NAME in files:
            replace(folder, data)


FSYNC = sys.argv[3] == "fsync"
main(sys.argv[1], sys.argv[2])
