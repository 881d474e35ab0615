"""`tttcfg resolve` as a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, MODEL, SEED_EXCERPT, checkpoint, trained, write_json
from tests.cli.process import run

SOURCES = {"override", "checkpoint", "weights", "config", "default", "derived"}


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """A folder with the seed's checkpoint in runs/exp and any.yaml beside it."""
    checkpoint(tmp_path / "runs" / "exp", SEED_EXCERPT, {**MODEL, "num_layers": 32})
    (tmp_path / "any.yaml").write_text("batch_size: 8\nttt: {mini_batch_size: 64}\n")
    return tmp_path


def test_spellings_of_the_seed(seed: Path) -> None:
    """--checkpoint_dir, --config, --batch_size 4, --ttt.base_lr=0.1, --set and KEY=VALUE all count."""
    folder = "runs/exp/checkpoints/checkpoint_001000"
    words = ["--batch_size", "4", "--ttt.base_lr=0.1", "--set", "seed=7", "max_steps=9", "--optim.lr", "1e-3"]
    result = run("resolve", "--checkpoint_dir", folder, "--config", "any.yaml", *words, "--output", "json", cwd=seed)
    training = result.json["training"]
    assert result.code == 0
    assert (training["batch_size"], training["seed"], training["max_steps"]) == (4, 7, 9)
    assert (training["ttt"]["base_lr"], training["optim"]["lr"]) == (0.1, 0.001)
    assert (training["ttt"]["mini_batch_size"], training["ttt"]["layers"]) == (8, [28, 29, 30])


def test_negative_and_dashed_values() -> None:
    """A value may start with a minus, and a key may be written with dashes."""
    result = run("resolve", "--ttt.initial_gating_alpha", "-0.5", "--max-steps", "3", "--output", "json")
    assert result.json["training"]["ttt"]["initial_gating_alpha"] == -0.5
    assert result.json["training"]["max_steps"] == 3


def test_json_object_is_as_documented(seed: Path) -> None:
    """The object has exactly the documented keys, and every origin and finding its documented shape."""
    result = run("resolve", "--checkpoint", "runs/exp", "--config", "any.yaml", "--output", "json", cwd=seed)
    found = result.json
    assert list(found) == ["schema_version", "training", "ttt", "origins", "findings", "digest"]
    assert found["schema_version"] == HEAD
    assert found["ttt"]["layer_indices"] == [28, 29, 30]
    assert found["digest"].startswith("sha256:")
    for origins in found["origins"].values():
        assert [set(one) for one in origins] == [{"source", "value", "where"}] * len(origins)
        assert {one["source"] for one in origins} <= SOURCES
    keys = ["severity", "code", "key", "message", "place", "suggestion", "advice"]
    assert [list(one) for one in found["findings"]] == [keys] * len(found["findings"])
    assert found["origins"]["batch_size"] == [
        {
            "source": "checkpoint",
            "value": 1,
            "where": "runs/exp/checkpoints/checkpoint_001000/consolidated/training_config.json",
        },
        {"source": "config", "value": 8, "where": "any.yaml:1:1"},
        {"source": "default", "value": 1, "where": "default"},
    ]
    assert result.err == ""


def test_ttt_is_null_where_it_is_off() -> None:
    assert run("resolve", "--output", "json").json["ttt"] is None


def test_explain_is_a_table_of_origins(seed: Path) -> None:
    """Every field has one line: value, source and place."""
    result = run("resolve", "--checkpoint", "runs/exp", "batch_size=2", "--explain", cwd=seed)
    rows = [line.split() for line in result.out.splitlines()]
    assert rows[0] == ["KEY", "VALUE", "SOURCE", "WHERE"]
    assert ["batch_size", "2", "override", "override", "1", "(batch_size)"] in rows
    assert ["ttt.head_dim", "16", "derived"] in [row[:3] for row in rows]


def test_explain_an_old_spelling() -> None:
    """An old name is explained as the setting that it is called now."""
    assert run("resolve", "--explain", "ttt.use_rope").out.startswith("ttt.rope_mode = off\n")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("ttt.bse_lr", "(did you mean ttt.base_lr?)"),
        ("ttt.target_output_norm", "ttt.target_output_norm: no longer exists: nothing used it"),
        ("wandb.key", "wandb.key: is a secret, and is never shown"),
    ],
)
def test_explain_what_cannot_be_explained(key: str, message: str) -> None:
    result = run("resolve", "--explain", key)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {key}: ")
    assert message in result.err


def test_yaml_output_feeds_back(seed: Path) -> None:
    """The YAML on standard output, given as --config, resolves to an equal configuration."""
    first = run("resolve", "--checkpoint", "runs/exp", "seed=3", "run_dir=yes", "wandb.run_name=1e3", cwd=seed)
    (seed / "back.yaml").write_text(first.out)
    again = run("resolve", "--config", "back.yaml", cwd=seed)
    assert first.code == again.code == 0
    assert _body(again.out) == _body(first.out)
    assert [line for line in again.out.splitlines() if "digest" in line] == [
        line for line in first.out.splitlines() if "digest" in line
    ]


def _body(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("name", ["out.yaml", "out.json"])
def test_write(seed: Path, name: str) -> None:
    """--write saves what was resolved: a document to *.json, YAML to anything else; both read back equal."""
    result = run("resolve", "--checkpoint", "runs/exp", "seed=3", "--write", name, "--output", "json", cwd=seed)
    read = tttcfg.resolve(config=seed / name) if name.endswith("yaml") else tttcfg.load_document(seed / name)
    assert result.code == 0
    assert read.training.model_dump(mode="json") == result.json["training"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["bach_size=4"], 2), (["full_finetuning=true", "lora.enable=true"], 1)],
    ids=["error", "contradiction"],
)
def test_nothing_is_written_where_the_answer_is_no(tmp_path: Path, words: list[str], code: int) -> None:
    result = run("resolve", *words, "--write", "out.json", cwd=tmp_path)
    assert (result.code, list(tmp_path.iterdir())) == (code, [])


def test_unwritable_target(tmp_path: Path) -> None:
    """A folder that is not there is an error in one line."""
    result = run("resolve", "--write", "none/out.json", cwd=tmp_path)
    assert result.code == 2
    assert "none" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _program(path: Path) -> None:
    (path.parent / "program").write_bytes(b"#!/bin/sh\necho hello\n")
    (path.parent / "program").chmod(0o755)
    path.symlink_to(path.parent / "program")


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "a terabyte": _sparse,
    "a link to a program": _program,
    "another program's settings": lambda path: path.write_bytes(b'{"services": {"web": 1}}'),
    "a comment": lambda path: path.write_bytes(b"# do not touch"),
    "a text": lambda path: path.write_bytes(b"hello"),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\x00"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("name", ["out.yaml", "out.json", "out.toml", "out"])
@pytest.mark.parametrize("there", IN_THE_WAY)
def test_what_is_no_configuration_is_not_replaced(name: str, there: str, tmp_path: Path) -> None:
    """Nothing is read of it but what a configuration may have, and nothing printed or written beside it."""
    IN_THE_WAY[there](tmp_path / name)
    before = {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()}
    result = run("resolve", "seed=3", "--write", name, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {name}: ")
    assert {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"batch_size: 1\n", b'{"rope_continuous": true}', b'{"provenance": {}}']
)
def test_a_configuration_is_replaced_also_through_a_link(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(content)
    (tmp_path / "out.yaml").symlink_to("old")
    assert run("resolve", "seed=3", "--write", "out.yaml", cwd=tmp_path).code == 0
    assert (tmp_path / "out.yaml").is_symlink()
    assert tttcfg.resolve(config=tmp_path / "old").training.seed == 3
    assert (tmp_path / "out.yaml.bak").read_bytes() == content


def test_contradictions_all_at_once(tmp_path: Path) -> None:
    """A contradiction exits with 1, lists every problem once and first, and prints no configuration."""
    folder = trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1, 9]})
    result = run("resolve", "--checkpoint", folder, "full_finetuning=true", "lora.enable=true")
    assert result.code == 1
    assert result.err.count("excludes lora.enable") == 1
    assert result.err.count("layers [9] do not exist") == 1
    assert result.out == ""
    explained = run("resolve", "--checkpoint", folder, "full_finetuning=true", "lora.enable=true", "--explain")
    assert {line.split()[0] for line in explained.out.splitlines()} == {"KEY", "full_finetuning", "ttt.layers"}
    assert [line.split()[0] for line in result.err.splitlines()[:2]] == ["error", "error"]


@pytest.mark.parametrize("name", ["effective.yaml", "effective.json"])
def test_a_contradiction_is_not_written(name: str, tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", {"ttt.enable": True, "ttt.layers": [1, 9]})
    result = run("resolve", "--checkpoint", folder, "--write", tmp_path / name)
    assert (result.code, result.out) == (1, "")
    assert not (tmp_path / name).exists()


def test_contradiction_as_json(tmp_path: Path) -> None:
    """With --output json standard output is still one object: the reason, without a configuration."""
    folder = trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1, 9]})
    result = run("resolve", "--checkpoint", folder, "--output", "json")
    errors = [one["key"] for one in result.json["findings"] if one["severity"] == "error"]
    assert (result.code, errors) == (1, ["ttt.layers"])
    assert [result.json[key] for key in ("training", "ttt", "digest")] == [None, None, None]
    assert set(result.json["origins"]) == {"ttt.layers"}


def test_demanding_what_is_missing(tmp_path: Path) -> None:
    """--train and --require-ttt refuse what cannot train, and name everything that is missing."""
    result = run("resolve", "--train", "--require-ttt", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert [line.partition(":")[0] for line in result.err.splitlines()] == ["ttt", "run_dir", "data.train_data"]


def test_restore_and_model_config(tmp_path: Path) -> None:
    """--restore none leaves the checkpoint's configuration out; --model-config gives the dimensions."""
    folder = trained(tmp_path / "run", {"batch_size": 4}, model=None)
    model = write_json(tmp_path / "model.json", MODEL)
    words: list[Any] = ["--checkpoint", folder, "--restore", "none", "--model-config", model, "ttt.enable=true"]
    found = run("resolve", *words, "--output", "json").json
    assert (found["training"]["batch_size"], found["ttt"]["model_dim"]) == (1, 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--restor", "all"], "--restor: is not an option (did you mean --restore?)"),
        (["--bach_size=3"], "(did you mean batch_size?)"),
        (["--model-confg", "x"], "--model-confg: is not an option (did you mean --model-config?)"),
        (["runs/exp"], "argument 1 is neither KEY=VALUE nor an option; paths go after --checkpoint and --config"),
        (["--seed"], "--seed: needs a value"),
        (["--restore", "some"], "'some' is not one of 'auto', 'all', 'none'"),
        (["--output", "xml"], "'xml' is not one of 'yaml', 'json'"),
        (["--config"], "'--config' requires an argument"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_use(words: list[str], message: str, tmp_path: Path) -> None:
    """An unknown word exits with 2 and a suggestion."""
    result = run("resolve", *words, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
