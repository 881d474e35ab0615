"""What binding keeps beside a checkpoint: no wider than what it was in, and reported where it holds secrets."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import SECRET, checkpoint, document_file, old_document, write_json
from tests.cli.process import run
from tests.families import REFERENCE, install, write_family
from tests.verification.bound import MODEL, changed, filled, made, sidecar
from tttcfg.fleet.scrub import is_searched
from tttcfg.safetensors.header import read_header
from tttcfg.safetensors.metadata import rewrite
from tttcfg.verification.tags import EMBEDDED, TAG_KEY, tag_digest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def embedded(run_folder: Path, extensions: dict[str, Any]) -> Path:
    """Make weights with an embedded configuration that no document holds, with sections of extensions in it."""
    weights = made(run_folder)
    tttcfg.bind(run_folder, embed=True)
    metadata = dict(read_header(str(weights)).metadata)
    tag = json.loads(metadata[TAG_KEY])
    tag[EMBEDDED]["extensions"] = extensions
    tag[EMBEDDED]["ttt"]["base_lr"] = 0.75
    rewrite(weights, {**metadata, TAG_KEY: json.dumps(tag)})
    return weights


@pytest.mark.parametrize("wide", [0o600, 0o640, 0o644])
def test_what_was_embedded_is_kept_for_those_who_can_read_the_weights(wide: int, tmp_path: Path) -> None:
    weights = embedded(tmp_path, {})
    weights.chmod(wide)
    sidecar(weights).chmod(0o644)
    bound = tttcfg.bind(tmp_path, changed(sidecar(weights), {"ttt.base_lr": 0.25}))
    [kept] = weights.parent.glob("training_config.json.embedded-*.bak")
    assert (mode(kept), mode(weights)) == (wide, wide)
    assert "secrets" not in bound.reason


@pytest.mark.parametrize("there", ["a program", "nothing", "a folder"])
def test_what_was_embedded_is_never_written_through_a_link(there: str, tmp_path: Path) -> None:
    weights = embedded(tmp_path / "run", {})
    suffix = (tag_digest(read_header(str(weights)).metadata) or "").removeprefix("sha256:")[:8]
    link, other = sidecar(weights).with_name(f"training_config.json.embedded-{suffix}.bak"), tmp_path / "other"
    if there == "a program":
        other.write_text("#!/bin/sh\n")
    elif there == "a folder":
        other.mkdir()
    link.symlink_to(other)
    assert tttcfg.bind(tmp_path / "run", changed(sidecar(weights), {"ttt.base_lr": 0.25})).state == "bound"
    assert link.is_symlink()
    assert other.read_text() == "#!/bin/sh\n" if there == "a program" else other.exists() == (there == "a folder")
    kept = sidecar(weights).with_name(f"training_config.json.embedded-{suffix}.1.bak")
    assert tttcfg.load_document(kept).training.ttt.base_lr == 0.75


def test_a_secret_that_was_embedded_is_kept_for_the_owner_alone_and_reported(tmp_path: Path) -> None:
    weights = embedded(tmp_path, {"noise": {"schema_version": 0, "api_token": SECRET}})
    weights.chmod(0o644)
    bound = tttcfg.bind(tmp_path, changed(sidecar(weights), {"ttt.base_lr": 0.25}))
    [kept] = weights.parent.glob("training_config.json.embedded-*.bak")
    assert mode(kept) == 0o600
    assert SECRET in kept.read_text()
    command = bound.reason.partition("run: ")[2]
    assert "extensions.noise.api_token" in bound.reason
    assert SECRET not in bound.reason
    assert run(*shlex.split(command)[1:]).code == 0
    assert [path for path in weights.parent.iterdir() if SECRET.encode() in path.read_bytes()] == []
    assert tttcfg.verify(tmp_path).binding == "bound"


def test_a_document_that_is_replaced_is_kept_for_the_owner_alone_and_reported(tmp_path: Path) -> None:
    values = {"ttt.enable": True, "ttt.layers": "1,2", "wandb.key": SECRET}
    folder = checkpoint(tmp_path, old_document(3, values), MODEL)
    filled(folder / "consolidated" / "consolidated.safetensors")
    document_file(folder).chmod(0o644)
    bound = tttcfg.bind(tmp_path)
    kept = document_file(folder).with_name("training_config.json.v3.bak")
    assert (mode(kept), mode(document_file(folder))) == (0o600, 0o644)
    assert (
        f"what is kept beside it has secrets: wandb.key; to remove them, run: tttcfg scrub --write {kept}"
        in bound.reason
    )


def test_a_document_without_secrets_is_kept_as_it_was(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(3, {"ttt.enable": True, "ttt.layers": "1,2"}), MODEL)
    filled(folder / "consolidated" / "consolidated.safetensors")
    document_file(folder).chmod(0o644)
    assert "secrets" not in tttcfg.bind(tmp_path).reason
    assert mode(document_file(folder).with_name("training_config.json.v3.bak")) == 0o644


def test_migrating_keeps_the_old_document_for_the_owner_alone_and_reports_it(tmp_path: Path) -> None:
    folders = [
        checkpoint(tmp_path / name, old_document(3, values))
        for name, values in (("a", {"wandb.key": SECRET}), ("b", {}))
    ]
    for folder in folders:
        document_file(folder).chmod(0o644)
    assert "its backup would keep secrets: wandb.key; to remove them, run: " in run("migrate", tmp_path).out
    result = run("migrate", tmp_path, "--write", "--output", "json").json
    assert [one["secrets"] for one in result["files"]] == [["wandb.key"], []]
    backups = [document_file(folder).with_name("training_config.json.v3.bak") for folder in folders]
    assert [mode(path) for path in backups] == [0o600, 0o644]
    assert [mode(document_file(folder)) for folder in folders] == [0o644, 0o644]


def test_the_command_that_migrate_reports_removes_it(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "it's", old_document(3, {"wandb.key": SECRET}))
    line = run("migrate", tmp_path, "--write").out.splitlines()[0]
    command = line.partition("run: ")[2]
    assert command.startswith("tttcfg scrub --write ")
    assert run(*shlex.split(command)[1:]).code == 0
    assert [path for path in document_file(folder).parent.iterdir() if SECRET in path.read_text()] == []


def test_a_backup_that_is_there_already_becomes_the_owners_alone(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, old_document(3, {"wandb.key": SECRET}))
    backup = document_file(folder).with_name("training_config.json.v3.bak")
    backup.write_bytes(document_file(folder).read_bytes())
    backup.chmod(0o644)
    assert run("migrate", tmp_path, "--write").code == 0
    assert mode(backup) == 0o600


@pytest.mark.parametrize("name", ["mine.yaml", "mine.json"])
def test_resolving_over_a_file_keeps_it_for_the_owner_alone_and_reports_it(name: str, tmp_path: Path) -> None:
    path = write_json(tmp_path / name, {"wandb": {"key": SECRET}, "seed": 3})
    path.chmod(0o644)
    result = run("resolve", "--config", name, "--write", name, cwd=tmp_path)
    assert (
        f"warning: {name}: its backup keeps secrets: wandb.key; to remove them, run: tttcfg scrub --write {name}.bak"
        in result.err
    )
    assert (mode(tmp_path / f"{name}.bak"), mode(path)) == (0o600, 0o644)
    assert SECRET not in path.read_text()
    path = write_json(tmp_path / "other.json", {"seed": 3})
    path.chmod(0o644)
    assert "secrets" not in run("resolve", "--config", "other.json", "--write", "other.json", cwd=tmp_path).err
    assert mode(tmp_path / "other.json.bak") == 0o644


def test_a_secret_that_is_passed_through_is_reported_with_what_removes_it(tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path, tttcfg.TrainingArgs())
    tree = {**json.loads(path.read_bytes()), "extensions": {"noise": {"api_token": SECRET, "key_dim": 64}}}
    path.write_text(json.dumps(tree, indent=2))
    [found] = [one for one in tttcfg.resolve(tmp_path).findings if one.code == "secret"]
    assert (found.key, found.severity) == ("extensions.noise.api_token", "warning")
    assert run(*shlex.split(found.advice.removeprefix("run: tttcfg "))).code == 0
    assert [one for one in tttcfg.resolve(tmp_path).findings if one.code == "secret"] == []


def advised(text: str) -> list[str]:
    """Return the arguments of the command that an advice names, which is the last thing that it says."""
    _, found, command = text.partition("run: tttcfg ")
    return shlex.split(command.partition("\n")[0]) if found else []


def left_in(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and SECRET.encode() in path.read_bytes()]


def removes(folder: Path, advice: str) -> None:
    """Check that the command of an advice finds what it is about, and leaves no secret."""
    assert left_in(folder), "there is one before"
    result = run(*advised(advice), cwd=folder)
    assert (result.code, left_in(folder)) == (0, []), result.err
    assert SECRET not in advice + result.out + result.err


ENDINGS = (".json", ".yaml", ".yml", ".toml", ".cfg", "", ".YAML", ".json5", ".v3", ".my.json.notes")
OWN = {".json": (".json",), ".toml": (".toml",)}
"""What files of an ending hold, where that is one form only."""
CONTENTS = {
    ".json": json.dumps({"wandb": {"key": SECRET}}),
    ".toml": f'[wandb]\nkey = "{SECRET}"\n',
    ".flow": f"{{wandb: {{key: {SECRET}}}}}\n",
    ".yaml": f"wandb:\n  key: {SECRET}\n",
}


@pytest.mark.parametrize("taken", [False, True], ids=["first", "numbered"])
@pytest.mark.parametrize("stem", ["mine", "-it's mine"])
@pytest.mark.parametrize(
    ("ending", "form"),
    [(ending, form) for ending in ENDINGS for form in OWN.get(ending, (".yaml", ".flow", ".json"))],
)
def test_the_command_that_resolve_advises_removes_the_secret(
    ending: str, form: str, stem: str, taken: bool, tmp_path: Path
) -> None:
    """Whatever the configuration is called, and also where a backup of that name is there already."""
    name, here = f"{stem}{ending}", tmp_path / "here"
    here.mkdir()
    path = here / name
    path.write_text(CONTENTS[form])
    if taken:
        (here / f"{name}.bak").write_text("seed: 1\n")
    result = run("resolve", "--write", f"./{name}", cwd=here)
    assert result.code == 0, result.err
    [warning] = [line for line in result.err.splitlines() if "its backup keeps secrets: wandb.key" in line]
    kept = f"{name}.1.bak" if taken else f"{name}.bak"
    assert left_in(here) == [kept]
    assert is_searched(kept)
    if ending == ".toml":
        assert "run: tttcfg" not in warning
        assert "by hand: TOML is not rewritten" in warning
        assert "TOML is not rewritten" in run("scrub", "--write", f"./{kept}", cwd=here).err
        return
    searched = run("scrub", ".", cwd=here)
    assert f"{kept}:" in searched.out
    removes(here, warning)


@pytest.mark.parametrize("name", ["training_config.json", "mine.json", "mine.cfg", "mine", "mine.yaml"])
def test_the_command_that_migrate_advises_removes_the_secret(name: str, tmp_path: Path) -> None:
    """Of a plan it removes it from the document, so that the backup will not have it."""
    path = write_json(tmp_path / name, old_document(3, {"wandb.key": SECRET}))
    data = path.read_bytes()
    removes(tmp_path, run("migrate", path).out)
    assert "its backup" not in run("migrate", path).out
    path.write_bytes(data)
    outcome = run("migrate", path, "--write", "--output", "json").json["files"][0]
    assert left_in(tmp_path) == [f"{name}.v3.bak"] == [Path(outcome["backup"]).name]
    (tmp_path / f"{name}.v3.bak").unlink()
    path.write_bytes(data)
    (tmp_path / f"{name}.v3.bak").write_text("{}")
    advice = run("migrate", path, "--write").out
    assert left_in(tmp_path) == [f"{name}.v3.1.bak"]
    removes(tmp_path, advice)


@pytest.mark.parametrize("name", ["mine.cfg", "mine.json"])
def test_the_command_names_the_family_that_the_file_does_not(name: str, tmp_path: Path) -> None:
    """What it has declared a secret may have any name."""
    write_family(tmp_path)
    config = tmp_path / "other" / "config.py"
    secret = '    pin: str | None = setting(None, role=Role.SECRET, unit="secret", description="Access.")\n'
    config.write_text(config.read_text().replace("    learning_rate", f"{secret}    learning_rate"))
    install(tmp_path, "other-trainer", "tttcfg.families", {"other": REFERENCE})
    for family in (REFERENCE, "other"):
        here = tmp_path / f"of-{family.partition(':')[0]}"
        here.mkdir()
        (here / name).write_text(json.dumps({"width": 32, "pin": SECRET}))
        path = {"PYTHONPATH": str(tmp_path)}
        done = run("resolve", "--family", family, "--write", name, cwd=here, **path)
        assert f"its backup keeps secrets: pin; to remove them, run: tttcfg scrub --write --family {family}" in done.err
        assert run(*advised(done.err), cwd=here, **path).code == 0
        assert left_in(here) == []


def test_what_is_no_configuration_is_passed_over_where_it_is_found_and_not_where_it_is_named(tmp_path: Path) -> None:
    """Others keep backups as well."""
    for name, data in {
        "model.pt.bak": b"\x00\xff" * 9,
        "notes.bak": b"my token=abc",
        "page.bak": b"<a: [",
        "large.bak": b"\x00" * (1 << 20) + b"x",
        "list.bak": b"[1, 2]",
    }.items():
        (tmp_path / name).write_bytes(data)
    write_json(tmp_path / "mine.bak", {"wandb": {"key": SECRET}})
    done = run("scrub", ".", cwd=tmp_path)
    assert (done.code, done.out.splitlines()[-1]) == (0, "1 to scrub, 0 without secrets, 0 failed; --write does it")
    assert run("scrub", "model.pt.bak", cwd=tmp_path).code == 1
    named = run("scrub", ".", "notes.bak", cwd=tmp_path)
    assert (named.code, named.err) == (1, "failed ./notes.bak: holds no settings, so that nothing can be said of it\n")


def test_toml_is_reported_whatever_its_name(tmp_path: Path) -> None:
    for name in ("config.toml.orig", "config.toml.old.bak", "mine.cfg", "config.toml.2026-11-29.bak"):
        (tmp_path / name).write_text(f'wandb.key = "{SECRET}"\n', "utf-8")
        done = run("scrub", name, cwd=tmp_path)
        assert (done.code, "TOML is not rewritten" in done.err) == (1, True), name
    assert run("scrub", ".", cwd=tmp_path).err.count("TOML is not rewritten") == 2


def test_a_search_leaves_backups_of_other_programs_alone(tmp_path: Path) -> None:
    text = f"apiVersion: v1\nkind: Config\nusers: [{{token: {SECRET}}}]\n"
    (tmp_path / "kubeconfig.bak").write_text(text, "utf-8")
    write_json(tmp_path / "mine.bak", {"wandb": {"key": SECRET}})
    assert run("scrub", "--write", ".", cwd=tmp_path).out.endswith("1 scrubbed, 0 without secrets, 0 failed\n")
    assert (tmp_path / "kubeconfig.bak").read_text("utf-8") == text


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_is_named_is_scrubbed_whatever_it_is_called(ending: str, tmp_path: Path) -> None:
    forms = (".json", ".flow", ".yaml") if ending in (".yaml", ".yml", ".YAML") else tuple(CONTENTS)
    for form in OWN.get(ending, forms):
        path = tmp_path / f"any{ending}"
        path.write_text(CONTENTS[form])
        done = run("scrub", "--write", path)
        if form == ".toml":
            assert (done.code, left_in(tmp_path)) == (1, [path.name])
            assert "TOML is not rewritten" in done.err
        else:
            assert (done.code, left_in(tmp_path)) == (0, []), done.err


@pytest.mark.parametrize("name", ["training_config.json", "any.yaml", "any.cfg"])
def test_the_command_of_a_refused_document_removes_the_secret(name: str, tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path, tttcfg.TrainingArgs())
    tree = json.loads(path.read_bytes())
    path.unlink()
    tree["wandb"]["key"] = SECRET
    write_json(tmp_path / name, tree)
    refused = run("resolve", "--config", name, cwd=tmp_path).err
    removes(tmp_path, refused.replace(", and renew it", ""))


def test_what_is_in_no_file_is_not_scrubbed() -> None:
    tree = tttcfg.to_dict(tttcfg.TrainingArgs())
    tree["wandb"]["key"] = SECRET
    for call in (lambda: tttcfg.migrate_document(tree), lambda: tttcfg.resolve(config=tree)):
        with pytest.raises(tttcfg.InputError) as caught:
            call()
        assert caught.value.problems[0].advice == "take it out, and renew it"
