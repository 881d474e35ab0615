"""What reaches a terminal, a pipe or a narrow encoding, and how the command is interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.builders import checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import TTTCFG, run, run_on_terminal
from tests.launcher import launch, python, started
from tttcfg.resolving.config import read_config
from tttcfg.ttt_moshi.family import TTT_MOSHI

HOSTILE = "a\x1b[31mb\u202ec\u2066[/etc/x][bold]\x07\x9b2J\x7f"
"""Colours, changes of direction, a bell, an 8-bit escape, a deletion, and what rich takes for markup."""
RAW = ("\x1b", "\u202e", "\u2066", "\x07", "\x9b", "\x7f")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose file names and values try to command the terminal."""
    trained(tmp_path / "now", {"run_dir": HOSTILE, "wandb.run_name": HOSTILE})
    old = checkpoint(tmp_path / HOSTILE.replace("/", "_"), old_document(4, {"run_dir": HOSTILE, "wandb.project": "p"}))
    write_json(document_file(old).parent.parent / "broken" / "training_config.json", {HOSTILE: HOSTILE})
    write_json(tmp_path / "bad.json", {HOSTILE: 1, "ttt": {"layers": HOSTILE}, "param_dtype": HOSTILE})
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", "--checkpoint", "now"],
        ["resolve", "--checkpoint", "now", "--output", "json"],
        ["resolve", "--checkpoint", "now", "--explain"],
        ["resolve", "--checkpoint", "now", "--explain", "run_dir"],
        ["resolve", "--config", "bad.json"],
        ["resolve", "--config", HOSTILE],
        ["resolve", f"{HOSTILE}=1", f"--{HOSTILE}", "1", f"seed={HOSTILE}"],
        ["resolve", "--explain", HOSTILE],
        ["migrate", "."],
        ["migrate", ".", "--output", "json"],
        ["diff", "now", f"run_dir={HOSTILE}x", "now"],
        ["diff", HOSTILE, "now"],
        ["fields", HOSTILE],
    ],
    ids=lambda arguments: " ".join(arguments).replace(HOSTILE, "HOSTILE"),
)
def test_nothing_hostile_reaches_the_terminal(hostile: Path, arguments: list[str]) -> None:
    """Control characters are escaped and markup is kept as it is, in values, names and errors."""
    result = run(*arguments, cwd=hostile)
    shown = result.out + result.err
    assert "[bold]" in shown
    assert [character for character in RAW if character in shown] == []
    assert "Traceback" not in shown


def test_hostile_values_survive_the_yaml(hostile: Path) -> None:
    """What is escaped on the way out reads back as it was."""
    (hostile / "back.yaml").write_text(run("resolve", "--checkpoint", "now", cwd=hostile).out)
    assert read_config(hostile / "back.yaml", TTT_MOSHI).values["run_dir"] == HOSTILE


def test_hostile_values_survive_the_json(hostile: Path) -> None:
    found = run("resolve", "--checkpoint", "now", "--output", "json", cwd=hostile).json
    assert found["training"]["run_dir"] == HOSTILE


@pytest.mark.parametrize("arguments", [["fields", "optim"], ["resolve", "--explain"], ["history", "4"]], ids=" ".join)
def test_colour_depends_on_the_reader(arguments: list[str], tmp_path: Path) -> None:
    """Output is plain in a pipe, coloured on a terminal, and plain there too where NO_COLOR is set."""
    piped = run(*arguments, cwd=tmp_path)
    shown = run_on_terminal(*arguments, cwd=tmp_path)
    plain = run_on_terminal(*arguments, cwd=tmp_path, NO_COLOR="1")
    assert "\x1b" not in piped.out + piped.err
    assert "\x1b[" in shown.out
    assert "\x1b" not in plain.out
    assert shown.code == plain.code == 0


def test_errors_are_coloured_on_a_terminal(tmp_path: Path) -> None:
    assert run_on_terminal("resolve", "seed=x", cwd=tmp_path).out.startswith("\x1b[31merror\x1b[0m: ")


def test_json_is_never_coloured(tmp_path: Path) -> None:
    shown = run_on_terminal("fields", "optim.lr", "--output", "json", cwd=tmp_path)
    assert json.loads(shown.out)[0]["key"] == "optim.lr"


def test_many_documents_are_counted_on_a_terminal(tmp_path: Path) -> None:
    """A long migration shows how far it is, and takes that away before it writes a result."""
    for index in range(51):
        write_json(tmp_path / str(index) / "training_config.json", {"batch_size": 1})
    shown = run_on_terminal("migrate", ".", "--write", "--no-fsync", "--output", "json", cwd=tmp_path, NO_COLOR="1").out
    assert "51/51" in shown
    assert "\r\x1b[K" in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_narrow_standard_output(encoding: str) -> None:
    """Characters that the encoding does not have are escaped so that JSON and YAML still mean the same."""
    name = "Zürich 東京 \U0001f600"
    for output in ("json", "yaml"):
        command = [*TTTCFG, "resolve", f"run_dir={name}", "--output", output]
        text = launch(*command, env={"PYTHONIOENCODING": encoding}, encoding=encoding).out
        if output == "json":
            assert json.loads(text)["training"]["run_dir"] == name
        else:
            (line,) = (line for line in text.splitlines() if line.startswith("run_dir:"))
            assert line.partition(": ")[2] == name or json.loads(_json_escapes(line.partition(": ")[2])) == name


def _json_escapes(yaml_text: str) -> str:
    """Return a double-quoted YAML scalar with the escapes that JSON knows."""
    found = ""
    pieces = yaml_text.split("\\")
    for piece in pieces[1:]:
        width = {"x": 2, "u": 4, "U": 8}[piece[0]]
        found += json.dumps(chr(int(piece[1 : width + 1], 16)))[1:-1] + piece[width + 1 :]
    return pieces[0] + found


def test_language_c() -> None:
    """With LANG=C nothing breaks."""
    result = run("resolve", "run_dir=Zürich", "--explain", "run_dir", LANG="C", LC_ALL="C")
    assert (result.code, "Traceback" in result.err) == (0, False)


@pytest.mark.parametrize("arguments", ["fields", "history", "resolve", "resolve --explain", "resolve --output json"])
def test_reader_that_leaves(arguments: str) -> None:
    """A closed standard output (`| head`) ends the command without a traceback."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = launch(*TTTCFG, *arguments.split(), stdout=closed, code=None)
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    assert done.code in (1, 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk() -> None:
    """A standard output that takes nothing more is one line of error."""
    with open("/dev/full", "w") as full:
        done = launch(*TTTCFG, "history", stdout=full, code=2)
    assert done.err == "error: standard output: cannot be used: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", ["resolve", "resolve seed=x", "fields --none", "migrate none", "none"])
def test_full_standard_error(arguments: str, tmp_path: Path) -> None:
    """What cannot be reported is a failure, by its code."""
    with open("/dev/full", "w") as full:
        launch(*TTTCFG, *arguments.split(), stderr=full, cwd=tmp_path, code=2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_does_not_take_the_version() -> None:
    with open("/dev/full", "w") as full:
        done = launch(*TTTCFG, "--version", stdout=full, code=2)
    assert done.err == "error: standard output: cannot be used: No space left on device\n"


@pytest.mark.parametrize(
    "arguments", ["migrate .", "migrate . --write", "scrub .", "scrub . --write", "schema check", "schema new x"]
)
def test_a_folder_that_was_removed_is_named(arguments: str, tmp_path: Path) -> None:
    """And not the standard output, which is as good as ever."""
    command = f'rmdir ../{tmp_path.name}; exec "$0" -m tttcfg {arguments}'
    done = launch("sh", "-c", command, sys.executable, cwd=tmp_path, code=2)
    assert done.err == "error: .: is a folder that was removed; change to another one\n"


def test_a_path_that_is_no_utf8_is_escaped_in_json(tmp_path: Path) -> None:
    """As JSON can: what reads it back has the path that can be opened."""
    path = tmp_path / os.fsdecode(b"caf\xe9.yaml")
    path.write_text("seed: 3\n")
    origins = run("resolve", "--config", path, "--output", "json").json["origins"]["seed"]
    assert origins[0]["where"] == f"{path}:1:1"
    old = write_json(tmp_path / os.fsdecode(b"\xff") / "training_config.json", old_document(4))
    assert run("migrate", tmp_path, "--output", "json").json["files"][0]["path"] == str(old)


@pytest.mark.parametrize(
    "command", ["", "resolve", "verify", "inspect", "migrate", "diff", "fields", "history", "schema"]
)
def test_an_unknown_option_does_not_command_the_terminal(command: str, tmp_path: Path) -> None:
    done = run(*command.split(), f"--{HOSTILE}", HOSTILE, cwd=tmp_path)
    assert done.code == 2
    assert [character for character in RAW if character in done.out + done.err] == []
    assert r"\u202e" in done.err or "argument 1 is neither" in done.err, "as it is, or by its position"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_interrupt(tmp_path: Path, workers: str) -> None:
    """Ctrl-C ends the command with 130 and no traceback, its worker processes included."""
    for index in range(3000):
        write_json(tmp_path / f"{index:04d}" / "training_config.json", {"batch_size": 1})
    command = [*TTTCFG, "migrate", ".", "--workers", workers]
    with started(*command, cwd=tmp_path, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    # Python 3.10 ends by the signal itself, which a shell reports as 130 too, where it struck inside an import.
    assert process.returncode in (130, -signal.SIGINT)


def test_interrupt_while_starting() -> None:
    """Ctrl-C while the command is being imported leaves no traceback either."""
    code = "import sys; sys.argv = ['tttcfg', 'history']\n"
    code += "class Stop:\n    def find_spec(self, name, path=None, target=None):\n"
    code += "        if name == 'typer': raise KeyboardInterrupt\n"
    code += "sys.meta_path.insert(0, Stop()); from tttcfg.cli import main; main()"
    assert python("-c", code, code=130).err == ""


@pytest.mark.parametrize("arguments", ["resolve", "resolve seed=x", "history", "--version", "--help"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_wrong_use(arguments: str, closed: str, tmp_path: Path) -> None:
    """Without a standard stream the command does nothing, reports that where it can, and exits with 2."""
    script = f'exec "$@" {closed}'
    message = "error: standard output: is closed; redirect it to /dev/null instead\n" if closed == ">&-" else ""
    assert launch("sh", "-c", script, "sh", *TTTCFG, *arguments.split(), cwd=tmp_path, code=2) == (2, "", message, 0)
