"""The API key reaches no output and no file, whatever is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import SECRET, checkpoint, document_file, old_document, trained, write_json
from tests.cli.process import run

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
def test_no_command_tells_the_key(folder: Path, words: str) -> None:
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
