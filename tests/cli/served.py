"""A server that runs the command line in processes of its own, forked from one that has imported it already.

A process of the command line takes half a second of imports and little else. What depends on a fresh interpreter (what
is imported, encodings, closed streams, signals) is tested with one, in `test_terminal.py` and `tests/test_imports.py`.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import socket
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

from tests.launcher import start

ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 1 << 20


class Server:
    """The client's side: one server for each process that runs tests."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        number = theirs.fileno()
        self.process = start(sys.executable, "-m", "tests.cli.served", str(number), cwd=ROOT, pass_fds=[number])
        theirs.close()
        atexit.register(self.close)

    def run(
        self, arguments: list[str], cwd: str, env: dict[str, str], streams: list[int], cpu_seconds: int = 60
    ) -> tuple[int, int]:
        """Run `tttcfg` and return its exit code, and the most memory that it took, in bytes.

        Args:
            streams: Descriptors of standard input, output and error.
            cpu_seconds: After which the system kills it.
        """
        asked = json.dumps({"arguments": arguments, "cwd": cwd, "env": env, "cpu_seconds": cpu_seconds}).encode()
        assert len(asked) < _LONGEST
        socket.send_fds(self.socket, [len(asked).to_bytes(4, "big")], streams)
        self.socket.sendall(asked)
        code, memory = json.loads(self.socket.recv(100) or b"[1, 0]")
        return code, memory

    def close(self) -> None:
        self.socket.close()
        self.process.wait(60)


@cache
def server() -> Server:
    return Server()


def _serve(connection: socket.socket) -> None:
    while True:
        length, streams, _, _ = socket.recv_fds(connection, 4, 3)
        if not length:
            return
        size, data = int.from_bytes(length, "big"), b""
        while len(data) < size:
            data += connection.recv(size - len(data))
        child = os.fork()
        if not child:
            connection.close()
            _run(json.loads(data), streams)
        for stream in streams:
            os.close(stream)
        _, status, usage = os.wait4(child, 0)
        connection.sendall(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024]).encode())


def _run(asked: dict[str, Any], streams: list[int]) -> None:
    """Be the command line, as `python -m tttcfg` is."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu_seconds"],) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(":")), *sys.path]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 as the interpreter has them
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        sys.argv = ["tttcfg", *asked["arguments"]]
        from tttcfg.cli import main

        code = _left(main)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _left(main: Any) -> int:
    """Run a program and return the code that it leaves with."""
    try:
        main()
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        sys.stderr.write(f"{left.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as the command sets it before it imports pydantic
    sys.path[:] = [path for path in sys.path if path != os.getcwd()]
    import jsonschema  # noqa: F401 the laws and `schema check` need it
    import typer.completion  # noqa: F401
    from ruamel import yaml  # noqa: F401

    from tttcfg.cli.app import COMMANDS, build
    from tttcfg.formats import json as _  # noqa: F401

    build(COMMANDS)
    _serve(socket.socket(fileno=int(sys.argv[1])))
