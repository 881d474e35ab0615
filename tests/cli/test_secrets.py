"""The API key reaches no output and no file, whatever is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import SECRET, checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import run
from tests.conftest import some
from tests.planted import PADDED
from tests.test_secrets import TYPED

DEEP = {"librilight_streaming": {"wandb_token": SECRET, "more": [{"password": SECRET}]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that hold a key: a configuration, old documents, and a current one that was edited by hand."""
    made = tmp_path_factory.mktemp("secrets")
    write_json(made / "any.json", {"wandb": {"key": SECRET}})
    write_json(made / "list.json", {"wandb": {"key": [SECRET, 2]}})
    write_json(made / "map.json", {"wandb": {"key": {"inner": SECRET}}})
    (made / "any.yaml").write_text(f"wandb:\n  key: {SECRET}\n")
    (made / "key.txt.yaml").write_text(SECRET)
    for version in (0, 3, 6):
        document = old_document(version, {"wandb.key": SECRET})
        if version:
            document["paper_metrics"] = DEEP
        checkpoint(made / f"old{version}", document)
    trained(made / "now")
    return made


@pytest.mark.parametrize(
    "words",
    [
        "resolve --config any.json",
        "resolve --config any.yaml --output json",
        "resolve --config any.yaml --explain",
        "resolve --config any.yaml --explain wandb",
        "resolve --config any.yaml --explain wandb.key",
        f"resolve wandb.key={SECRET}",
        f"resolve --wandb.key {SECRET} --output json",
        f"resolve wandb.key={SECRET} --explain",
        f"resolve wandb.key=[{SECRET},2]",
        f"resolve wandb.key.0={SECRET}",
        "resolve wandb.key=@key.txt.yaml",
        "resolve --config list.json",
        "resolve --config map.json",
        "resolve --config any.json wandb.key=!config --explain",
        "resolve --config any.json --write out.yaml",
        "resolve --config any.json --write out.json",
        "resolve --checkpoint old6 --output json",
        "migrate old0 old3 old6",
        "migrate old0 old3 old6 --output json",
        "migrate old3 --to 5",
        "migrate old3 --to 0 --allow-loss",
        "diff old6 now",
        "diff any.json now",
        f"diff now wandb.key={SECRET} now",
    ],
)
def test_no_command_shows_the_key(folder: Path, words: str) -> None:
    """Neither standard output, nor standard error, nor a written file holds it."""
    result = run(*words.split(), cwd=folder)
    assert SECRET not in result.out + result.err
    assert "Traceback" not in result.err
    for name in ("out.yaml", "out.json"):
        if (folder / name).exists():
            assert SECRET not in (folder / name).read_text()


def test_migrated_documents_do_not_hold_it(tmp_path: Path) -> None:
    """Writing takes the key out at every depth; only the copy that is kept beside still has it."""
    document = old_document(6, {"wandb.key": SECRET}) | {"paper_metrics": DEEP}
    folder = checkpoint(tmp_path, document)
    run("migrate", folder, "--write", "--no-fsync")
    assert SECRET not in document_file(folder).read_text()
    assert '"wandb.key": "(withheld)"' in document_file(folder).read_text()


EVERY = (
    "resolve",
    "verify now",
    "inspect now",
    "diff now now",
    "migrate now",
    "scrub now",
    "fields",
    "history",
    "schema check",
)
VALUED = (
    "resolve --config SECRET",
    "resolve --checkpoint SECRET",
    "resolve --model-config SECRET",
    "resolve --family SECRET",
    "resolve --restore SECRET",
    "resolve --output SECRET",
    "resolve --write SECRET/out.json",
    "resolve --explain=SECRET",
    "resolve --set SECRET",
    "resolve seed=@SECRET",
    "verify SECRET",
    "inspect SECRET",
    "diff SECRET now",
    "diff SECRET now now",
    "migrate SECRET",
    "scrub SECRET",
    "scrub now --keep SECRET",
    "migrate now --to SECRET",
    "fields SECRET",
    "history SECRET",
    "schema diff SECRET",
)


@pytest.mark.parametrize("text", some(TYPED, 3))
def test_no_mistyped_override_shows_it(folder: Path, text: str) -> None:
    """Of no command, those included that take no override; what is given as a path or as a command is one, though."""
    for secret in (SECRET, PADDED):
        words = text.replace("SECRET", secret).split()
        for command in EVERY[: 3 if words == [secret] else None]:
            if command not in ("diff now now", "migrate now", "scrub now") or len(words) == 1:
                result = run(*command.split(), *words, cwd=folder)
                assert secret not in result.out + result.err, command
                assert "Traceback" not in result.err


@pytest.mark.parametrize("words", VALUED)
def test_no_override_in_the_place_of_something_else_shows_it(folder: Path, words: str) -> None:
    for text in ("wandb.key=SECRET", "wandb.key:SECRET", "--wandb.key=SECRET", "api_key==SECRET"):
        result = run(*words.replace("SECRET", text.replace("SECRET", SECRET)).split(), cwd=folder)
        assert SECRET not in result.out + result.err, text
        assert "Traceback" not in result.err


def test_no_command_shows_what_is_in_the_environment(folder: Path) -> None:
    for words in ("resolve --output json", "resolve seed=$WANDB_API_KEY", "inspect now", "verify now", "fields"):
        result = run(*words.split(), cwd=folder, WANDB_API_KEY=SECRET, HF_TOKEN=SECRET)
        assert SECRET not in result.out + result.err
