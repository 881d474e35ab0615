"""A secret reaches nothing that is printed, raised, returned for printing or written, wherever it is planted."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import UserDict
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, old_document, write_json
from tests.planted import CHOSEN, GENERATED, PADDED, SECRETS, Client, shown_by
from tttcfg.documents.secret_values import instead_of, scalars
from tttcfg.schema.paths import get_path, set_path
from tttcfg.secrets import WITHHELD, assigns_secret, looks_secret, shown_key, without_secrets
from tttcfg.ttt_moshi.family import TTT_MOSHI, TrainingArgs

Door = Callable[[str, Path], Any]


class Refusing(UserDict[str, Any]):
    """A mapping whose values cannot be looked up, with an error that has one of them in it."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(self.data[key])


class Overrides(SimpleNamespace):
    """A namespace of a class of its own."""


LIVE: dict[str, Door] = {
    "a list": lambda secret, _: TrainingArgs.from_any({"wandb": {"key": [secret]}}),
    "a mapping": lambda secret, _: TrainingArgs.from_any({"wandb": {"key": {secret: secret}}}),
    "its section": lambda secret, _: TrainingArgs.from_any({"wandb": secret}),
    "an object": lambda secret, _: TrainingArgs.from_any({"wandb": {"key": Client(secret)}}),
    "an object elsewhere": lambda secret, _: TrainingArgs.from_any({"run_dir": Client(secret)}),
    "an object in a list": lambda secret, _: TrainingArgs.from_any({"ttt": {"layers": [1, Client(secret)]}}),
    "an object for a section": lambda secret, _: TrainingArgs.from_any({"wandb": Client(secret)}),
    "an object for all": lambda secret, _: TrainingArgs.from_any(Client(secret)),
    "an object for a key": lambda secret, _: TrainingArgs.from_any({Client(secret): 1}),
    "a key of bytes": lambda secret, _: TrainingArgs.from_any({secret.encode(): 1}),
    "a namespace": lambda secret, _: TrainingArgs.from_any(Namespace(run_dir=Client(secret))),
    "another namespace": lambda secret, _: TrainingArgs.from_any(Overrides(wandb=Overrides(key=secret, kye=secret))),
    "a lookup that fails": lambda secret, _: TrainingArgs.from_any(Refusing(wandb=secret)),
    "bytes": lambda secret, _: TrainingArgs.from_any({"wandb": {"key": secret.encode()}}),
    "another name": lambda secret, _: TrainingArgs.from_any({"wandb": {"kye": secret, "api_key": secret}}),
    "the version": lambda secret, _: TrainingArgs.from_any({"schema_version": secret}),
    "the model": lambda secret, _: TrainingArgs(wandb={"key": [secret]}),  # type: ignore[arg-type]
    "the model's section": lambda secret, _: TrainingArgs(wandb=secret),  # type: ignore[arg-type]
    "the model's other name": lambda secret, _: TrainingArgs(wandb={"kye": secret}),  # type: ignore[arg-type]
    "an assignment": lambda secret, _: setattr(TrainingArgs().wandb, "key", secret),
    "an assignment of a section": lambda secret, _: setattr(TrainingArgs(), "wandb", {"key": secret}),
    "an assignment of another name": lambda secret, _: setattr(TrainingArgs().wandb, "kye", secret),
    "a copy": lambda secret, folder: tttcfg.save_document(
        folder, TrainingArgs().model_copy(update={"wandb": TrainingArgs().wandb.model_copy(update={"key": secret})})
    ),
    "a copy with a mapping": lambda secret, folder: tttcfg.save_document(
        folder, TrainingArgs().model_copy(update={"wandb": {"key": secret, "project": None}})
    ),
    "an override": lambda secret, _: tttcfg.resolve(overrides={"wandb.key": secret}),
    "an override that is an object": lambda secret, _: tttcfg.resolve(overrides={"wandb.key": Client(secret)}),
    "an override of another type": lambda secret, _: tttcfg.resolve(overrides={"seed": Client(secret)}),
    "an override of another name": lambda secret, _: tttcfg.resolve(overrides={"wandb.kye": secret}),
    "a configuration": lambda secret, _: tttcfg.resolve(config={"wandb": {"key": secret}}),
    "a configuration of objects": lambda secret, _: tttcfg.resolve(config={"wandb": {"key": Client(secret)}}),
    "a comparison": lambda secret, _: tttcfg.diff({"wandb": {"key": secret}}, {"wandb": {"key": secret * 2}}),
    "values": lambda secret, _: tttcfg.to_dict({"wandb": {"key": secret}}),
    "YAML": lambda secret, _: tttcfg.to_yaml({"wandb": {"key": secret}}),
    "a tag": lambda secret, _: tttcfg.tag_for({"wandb": {"key": secret}}, embed=True),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("door", LIVE)
def test_no_value_of_a_program_shows(door: str, secret: str, tmp_path: Path) -> None:
    assert secret not in shown_by(lambda: LIVE[door](secret, tmp_path))
    assert [path for path in tmp_path.iterdir() if secret in path.read_text("utf-8")] == []


TYPED = [
    "wandb.key=SECRET",
    "wandb.key==SECRET",
    "wandb.key= SECRET",
    "wandb.key =SECRET",
    "wandb.key SECRET",
    "wandb.key:SECRET",
    "wandb.key: SECRET",
    "wandb.key->SECRET",
    "wandb.key,SECRET",
    "wandb.key;SECRET",
    "wandb.kye=SECRET",
    "wandb.kye:SECRET",
    "wandb.kye SECRET",
    "wandb.key.0=SECRET",
    "wandb.key.x=SECRET",
    "wandb.key=[SECRET]",
    "wandb.key={a: SECRET}",
    "wandb.key='SECRET",
    "wandb=SECRET",
    "wandb:SECRET",
    "wandb={key: SECRET}",
    "wandb={key:SECRET}",
    "wandb={kye: SECRET}",
    "wandb={key: *SECRET}",
    "wandb={key: !SECRET x}",
    "ttt.layers=[*SECRET]",
    "WANDB_API_KEY=SECRET",
    "key=SECRET",
    "--wandb.key=SECRET",
    "--wandb-key=SECRET",
    "--wandb.key:SECRET",
    "-wandb.key=SECRET",
    "extensions.noise.api_token=SECRET",
    "extensions.noise.api_token:SECRET",
    "=SECRET",
    "SECRET",
    "-SECRET",
    "seed",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", TYPED)
def test_no_override_shows(text: str, secret: str) -> None:
    """Neither as a text of its own, nor where it is typed as one word or as two among arguments."""
    typed = text.replace("SECRET", secret)
    assert secret not in shown_by(lambda: tttcfg.resolve(overrides=[typed]))
    for words in ([typed], typed.split(), ["seed=1", *typed.split(), "batch_size=2"]):
        assert secret not in shown_by(lambda words=words: tttcfg.resolve(overrides=tttcfg.override_texts(words)))  # type: ignore[misc]


YAML = [
    "wandb: {key: SECRET}",
    "wandb:\n  key: SECRET\n",
    "wandb:\n  key: [SECRET, 1]\n",
    "wandb:\n  key:\n    SECRET: 1\n",
    "wandb:\n  key: |\n    SECRET\n",
    "wandb:\n  key:SECRET\n",
    "wandb:\n  key:SECRET\n  project: x\n",
    "wandb:\n  kye: SECRET\n",
    "wandb:\n  api_key: SECRET\n",
    "wandb: {key:SECRET}",
    "wandb: SECRET",
    "wandb: [SECRET]",
    "wandb.key: SECRET",
    "wandb.key:SECRET",
    "wandb.key=SECRET",
    "wandb_key: SECRET",
    "SECRET",
    "- SECRET",
    "*SECRET",
    "wandb: {key: *SECRET}",
    "seed: *SECRET",
    "seed: !SECRET x",
    "seed: !!SECRET x",
    "seed: !<SECRET> x",
    "!SECRET seed: 1",
    "seed: !SECRET [1]",
    "seed: &SECRET [*SECRET]",
    "wandb: {key: SECRET",
    "wandb: {key: 'SECRET",
    'wandb: {key: "SECRET',
    'wandb: {key: "\\SECRET"}',
    "wandb: {key: SECRET}\nwandb: {key: SECRET}",
    "wandb: {key: SECRET, key: SECRET}",
    "\twandb: {key: SECRET}",
    "wandb: {key: SECRET}\n\x07",
    "%SECRET\n---\nseed: 1",
    "? [SECRET]\n: 1",
    "<<: SECRET",
    "wandb: {<<: SECRET}",
    "schema_version: SECRET",
    "schema_version: [SECRET]",
    "schema_version: {SECRET: 1}",
    "schema_version: 99\nprovenance: {written_by: SECRET}",
    "schema_version: 6\nwandb: {key: SECRET}",
    "schema_version: 7\nwandb: {key: [SECRET]}",
    "$schema: 'SECRET'",
    "provenance: 'SECRET'",
    "provenance: {api_key: SECRET}",
    "extensions: SECRET",
    "extensions: {noise: SECRET}",
    "extensions: {noise: {api_token: SECRET}}",
    "paper_metrics: {api_key: SECRET}",
    "paper_metrics: {deep: [{password: SECRET}]}",
    "data: {api_key: SECRET}",
    "seed: 1\n---\nwandb: {key: SECRET}",
]
JSON = [
    '{"wandb": {"key": "SECRET"}}',
    '{"wandb": {"key": ["SECRET"]}}',
    '{"wandb": {"key": "SECRET}}',
    '{"wandb": {"key": "SECRET"',
    '{"wandb": {"key": SECRET}}',
    '{"wandb": {"key": "\\SECRET"}}',
    '{"wandb": {"key": "SECRET", "key": "SECRET"}}',
    '{"wandb": "SECRET"}',
    '{"wandb.key": "SECRET"}',
    '{"wandb.key=SECRET": 1}',
    '"SECRET"',
    '["SECRET"]',
    "SECRET",
    '{"schema_version": "SECRET", "wandb": {}}',
    '{"schema_version": 7, "wandb": {"key": "SECRET"}}',
    '{"seed": 1} SECRET',
]
TOML = [
    'wandb.key = "SECRET"',
    'wandb.key = ["SECRET"]',
    "wandb.key = SECRET",
    'wandb.key = "SECRET',
    'wandb.key "SECRET"',
    '[wandb]\nkey = "SECRET"\nkey = "SECRET"',
    '[wandb]\nkye = "SECRET"',
    'wandb = "SECRET"',
    'schema_version = "SECRET"',
    "[SECRET",
    '"wandb.key" = "SECRET"',
]
FILES = [("yaml", one) for one in YAML] + [("json", one) for one in JSON] + [("toml", one) for one in TOML]


@pytest.mark.parametrize(("ending", "content"), FILES, ids=lambda value: value)
def test_no_file_shows(ending: str, content: str, tmp_path: Path) -> None:
    for secret in SECRETS:
        data = content.replace("SECRET", secret)
        path = tmp_path / f"any.{ending}"
        for text in (data.encode(), data.encode() + b"\n\xff", b"\xff\xfe" + data.encode()):
            path.write_bytes(text)
            for call in (tttcfg.load_document, lambda path: tttcfg.resolve(config=path), tttcfg.resolve):
                assert secret not in shown_by(lambda call=call, path=path: call(path)), (call, text)  # type: ignore[misc]
        path.write_bytes(data.encode())
        assert secret not in shown_by(lambda path=path: tttcfg.resolve(overrides=[f"wandb=@{path}"]))  # type: ignore[misc]


@pytest.mark.parametrize("secret", [GENERATED, PADDED])
@pytest.mark.parametrize(
    "content", ["SECRET: 1", "{wandb: {SECRET: 1}}", "{ttt: {SECRET: {a: 1}}}", "SECRET: {SECRET: 1}"]
)
def test_no_generated_secret_shows_as_a_key(content: str, secret: str, tmp_path: Path) -> None:
    """A secret that a person chose cannot be distinguished from a name, and is shown, as the page describes."""
    (tmp_path / "any.yaml").write_text(content.replace("SECRET", secret))
    assert secret.rstrip("=") not in shown_by(lambda: tttcfg.resolve(config=tmp_path / "any.yaml"))
    assert secret.rstrip("=") not in shown_by(lambda: tttcfg.resolve(overrides=[f"{secret}=1"]))
    assert secret.rstrip("=") not in shown_by(lambda: tttcfg.resolve(overrides={secret: 1}))


@pytest.mark.parametrize("version", [0, 3, 6])
def test_no_saved_document_shows(version: int, tmp_path: Path) -> None:
    """Neither of an old document, wherever it is in it, nor of what is made of it."""
    document: dict[str, Any] = old_document(version, {"wandb.key": CHOSEN})
    if version:
        document["paper_metrics"] = {"api_key": CHOSEN, "deep": [{"password": CHOSEN}]}
    path = tmp_path / "training_config.json"
    path.write_text(json.dumps(document))
    assert CHOSEN not in shown_by(lambda: tttcfg.load_document(path))
    assert CHOSEN not in shown_by(lambda: tttcfg.migrate_document(document))
    assert CHOSEN not in shown_by(lambda: tttcfg.resolve(path))
    assert CHOSEN not in shown_by(lambda: tttcfg.tag_for(document, embed=True))
    tttcfg.save_document(path, tttcfg.resolve(path))
    assert CHOSEN not in path.read_text()


def test_no_provenance_shows(tmp_path: Path) -> None:
    """An editor may have put it there."""
    document = tttcfg.migrate_document(old_document(3))
    document["provenance"] |= {"api_key": CHOSEN, "removed": {"why": {"wandb.key": CHOSEN}}, "more": {"token": CHOSEN}}
    document["provenance"]["assumed"] = {"reason": "r", "values": {"wandb.key": CHOSEN}}
    path = tmp_path / "training_config.json"
    for indent in (None, 2):
        path.write_text(json.dumps(document, indent=indent))
        assert CHOSEN not in shown_by(lambda: tttcfg.load_document(path))
        assert CHOSEN not in shown_by(lambda: tttcfg.load_document(path).record)
        assert CHOSEN not in shown_by(lambda: tttcfg.load_document(path).provenance_notes)
        assert CHOSEN not in shown_by(lambda: tttcfg.resolve(path))
        assert CHOSEN not in shown_by(lambda: tttcfg.migrate_document(document, 3, allow_loss=True))


def test_the_section_of_an_extension_that_is_not_installed_is_not_shown(tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path, TrainingArgs())
    tree = json.loads(path.read_bytes())
    path.write_text(json.dumps({**tree, "extensions": {"noise": {"api_token": CHOSEN}}}))
    assert CHOSEN not in shown_by(lambda: tttcfg.load_document(path))
    assert CHOSEN not in shown_by(lambda: tttcfg.resolve(tmp_path))


def test_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "HF_TOKEN", "TTTCFG_KEY", "wandb.key"):
        monkeypatch.setenv(name, CHOSEN)
    assert CHOSEN not in shown_by(lambda: tttcfg.resolve(overrides=["wandb.key=$WANDB_API_KEY", "seed=2"]))
    assert CHOSEN not in shown_by(lambda: tttcfg.resolve(overrides=["seed=$WANDB_API_KEY"]))


def test_an_error_keeps_what_was_handled_unless_that_is_suppressed() -> None:
    """Errors of parsers hold their whole input; what a caller handles is the caller's."""

    def raised(suppress: bool) -> BaseException | None:
        try:
            try:
                raise KeyError("mine")
            except KeyError:
                error = tttcfg.InputError([])
                error.__suppress_context__ = suppress
                raise error  # noqa: B904
        except tttcfg.InputError as caught:
            return caught.__context__

    assert isinstance(raised(suppress=False), KeyError)
    assert raised(suppress=True) is None


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("wandb.key=abc", "wandb.key=(withheld)"),
        ("'wandb.key==abc' is no", "'wandb.key==(withheld)' is no"),
        ("(api_token:abc), and seed=1", "(api_token:(withheld)), and seed=1"),
        ("x=y=wandb.key=abc d", "x=y=wandb.key=(withheld) d"),
        ("https://u:p@host/a?token=abc d", "https://host/a d"),
        ("write wandb.key=null or wandb.key=VALUE", "write wandb.key=null or wandb.key=VALUE"),
        ("give keys=@FILE, KEY=!default", "give keys=@FILE, KEY=!default"),
        ("no keys: a, b", "no keys: a, b"),
        ("sha256:0123456789abcdef", "sha256:0123456789abcdef"),
        ("key=", "key="),
    ],
)
def test_sentences_without_secrets(text: str, seen: str) -> None:
    assert without_secrets(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "--wandb.key=S",
        "HF_TOKEN=S",
        "wandb.key==S",
        "export HF_TOKEN=S; train",
        "python train.py --api-key S --lr 1",
        "python train.py -u --api-key  S",
        "--api-key='S T'",
        "'--api-key=S T'",
        "['train.py', '--api-key', 'S']",
        'train --api-key "S"',
        'HF_TOKEN="a\\"b c"',
        "a\nHF_TOKEN=S\nb",
    ],
)
def test_texts_that_give_a_secret(text: str) -> None:
    assert assigns_secret(text)
    assert instead_of(("argv",), text, TTT_MOSHI) == WITHHELD


HARMLESS = [
    "--token --lr 1",
    "--key_dim=64 --num-key-heads 8 --use-auth=true",
    "wandb.key=null",
    "api_key=",
    "--key .5 --key 1e-3",
    "the token is a word",
    "well-known keys",
    "seed=1 --lr 2",
    "token: x",
    "/data/key=v1a/part=2",
    "https://host/a?b=c",
    "(withheld)",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_texts_that_give_none(text: str) -> None:
    assert not assigns_secret(text)
    assert instead_of(("argv",), text, TTT_MOSHI) is text


@pytest.mark.parametrize(
    ("items", "left"),
    [
        (["--api-key", "S", "x"], ["--api-key", WITHHELD, "x"]),
        (["--wandb.key", "S=T U"], ["--wandb.key", WITHHELD]),
        (["--api-key", "--lr", "1"], ["--api-key", "--lr", "1"]),
        (["--api-key", "12", 3], ["--api-key", "12", 3]),
        (["--sort-key", ".5"], ["--sort-key", ".5"]),
        (["--api-key", ["S"]], ["--api-key", ["S"]]),
        (["api-key", "S"], ["api-key", "S"]),
        (["HF_PASSPHRASE=S T U"], [WITHHELD]),
        ([["--api-key", "S"]], [["--api-key", WITHHELD]]),
        ([{"args": ["--api-key", "S"]}], [{"args": ["--api-key", WITHHELD]}]),
    ],
)
def test_items_behind_an_option_that_names_a_secret(items: list[Any], left: list[Any]) -> None:
    found = {path: instead_of(path, value, None, before) for path, value, before in scalars({"argv": items}, ())}
    assert found == {path: value for path, value, _ in scalars({"argv": left}, ())}


GIVING = "random key=speaker --api-key S3cretvalue"


@pytest.mark.parametrize("name", sorted(TTT_MOSHI.chain.spellings))
def test_a_setting_of_any_version_is_never_judged_by_its_text(name: str) -> None:
    """It is declared: what is in it decides what is computed, or where files are."""
    assert instead_of(tuple(name.split(".")), GIVING, TTT_MOSHI) is GIVING or looks_secret(name.rpartition(".")[2])


@pytest.mark.parametrize("version", range(HEAD + 1))
def test_texts_of_settings_survive_saving_and_every_version(version: int, tmp_path: Path) -> None:
    """Whatever they look like: scrub alone judges texts, and those of no setting only."""
    document = old_document(version)
    texts = [path for path, value in _texts(document, ()) if path[0] not in ("$schema", "provenance")]
    for path in texts:
        name = ".".join(path)
        field = TTT_MOSHI.chain.fields(version).get(name, {})
        if field.get("type") == "string" and "enum" not in field and not looks_secret(name) and "layers" not in name:
            set_path(document, path, GIVING)
    if "paper_metrics" in TTT_MOSHI.chain.fields(version):
        names = ("results_dir", "sblimp_audio_dir", "librilight_evaluation_mode")
        document["paper_metrics"] = dict.fromkeys(names, GIVING)
    newest = tttcfg.migrate_document(document)
    again = tttcfg.migrate_document(newest, version, allow_loss=True)
    for path, value in _texts(document, ()):
        if value == GIVING:
            assert get_path(again, path) == GIVING, path
    saved = tttcfg.load_document(write_json(tmp_path / "training_config.json", document))
    assert tttcfg.load_document(tttcfg.save_document(tmp_path / "new", saved)).training == saved.training


def _texts(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _texts(value, (*path, key))
        elif isinstance(value, str):
            yield (*path, key), value


@pytest.mark.parametrize("secret", SECRETS[:3])
def test_a_refused_text_shows_nothing_that_it_assigns(secret: str) -> None:
    assert secret not in shown_by(
        lambda: tttcfg.resolve(config={"seed": f"train --api-key {secret} HF_TOKEN={secret}"})
    )
    assert secret not in shown_by(lambda: tttcfg.resolve(overrides={"seed": f"--api-key {secret}"}))


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("ttt.override_gating_alpha_on_resume", "ttt.override_gating_alpha_on_resume"),
        ("extensions.noise_2.layer_10", "extensions.noise_2.layer_10"),
        ("a.0123456789abcdef01", "a.(withheld)"),
        (GENERATED, "hf_(withheld)"),
        ("wandb.key:abc", "wandb.key:(withheld)"),
    ],
)
def test_keys_as_they_are_shown(key: str, seen: str) -> None:
    assert shown_key(key) == seen


@pytest.mark.parametrize(
    "part",
    ["a", "a=", "=", "key=", "key=x ", "key:", "key=@", "key=null", "key://", "a1", "->", "key=' ", "a:/", "a, "],
)
def test_long_texts_take_no_longer_than_they_are(part: str) -> None:
    """Ten milliseconds of a processor each; where the time were that of the square, half a minute."""
    text, start = part * (200_000 // len(part)), process_time()
    without_secrets(text)
    shown_key(text)
    assigns_secret(text)
    assert process_time() - start < 5


def test_every_declared_secret_is_found_by_its_name() -> None:
    """What is in no place of a setting is a secret or not by its name alone."""
    assert [one.name for one in TTT_MOSHI.secret_fields if not looks_secret(one.name)] == []
