"""The public functions, as a program uses them."""

from __future__ import annotations

import copy
import inspect
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import HEAD, SECRET, checkpoint, document_file, old_document, trained, write_json
from tests.safetensors.files import weights_file
from tttcfg import Document, Family, InputError, LossError, Role, Section, TrainingArgs, setting
from tttcfg.resolving.config import read_config
from tttcfg.ttt_moshi.family import TTT_MOSHI

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)


@dataclass
class OldOptim:
    """The optimiser's section as the trainer's last unnumbered version had it."""

    lr: float = 1e-4
    weight_decay: float = 0.1
    pct_start: float = 0.05


@dataclass
class OldTTT:
    """The TTT section of that version, shortened."""

    enable: bool = True
    layers: str = "1,2"
    base_lr: float = 0.5
    mini_batch_size: int = 8
    use_rope: bool = True
    ttt_layer_context: int | None = 3000


@dataclass
class OldTrainArgs:
    """A configuration object of that version, shortened."""

    run_dir: str | None = "runs/exp"
    batch_size: int = 4
    optim: OldOptim = field(default_factory=OldOptim)
    ttt: OldTTT = field(default_factory=OldTTT)
    wandb: dict[str, Any] = field(default_factory=lambda: {"project": "p", "key": SECRET})


def test_resolve_takes_a_mapping() -> None:
    assert tttcfg.resolve(config={"ttt": {"base_lr": 0.5}}).training.ttt.base_lr == 0.5


def test_resolve_takes_paths_as_text_and_as_path(tmp_path: Path) -> None:
    config = write_json(tmp_path / "any.json", {"seed": 3})
    assert tttcfg.resolve(config=str(config)).training == tttcfg.resolve(config=config).training


def test_resolve_takes_what_was_read_before(tmp_path: Path) -> None:
    """A file that many resolutions share is read once."""
    given = read_config(write_json(tmp_path / "any.json", {"seed": 3}), TTT_MOSHI)
    effective = tttcfg.resolve(config=given)
    assert effective.training.seed == 3
    assert effective.origins["seed"][0].where.startswith(str(tmp_path))


def test_resolve_takes_a_list_of_all_kinds(tmp_path: Path) -> None:
    path = write_json(tmp_path / "any.json", {"seed": 3, "batch_size": 2})
    effective = tttcfg.resolve(config=[path, {"seed": 4}])
    assert (effective.training.seed, effective.training.batch_size) == (4, 2)


NO_CONFIG = [TrainingArgs(), tttcfg.resolve(), 3, object(), b"any.yaml", [None], [[{}]]]


@pytest.mark.parametrize("config", NO_CONFIG, ids=lambda one: type(one).__name__)
def test_resolve_refuses_a_config_that_is_neither_a_file_nor_a_mapping(config: Any) -> None:
    with pytest.raises(InputError, match=r"config: is a \w+, not a file or a mapping; give what tttcfg\.to_dict makes"):
        tttcfg.resolve(config=config)
    assert tttcfg.resolve(config=tttcfg.to_dict(TrainingArgs(seed=3))).training == TrainingArgs(seed=3)


def test_resolve_takes_overrides_as_a_mapping() -> None:
    """Values from Python are taken as they are, not parsed."""
    effective = tttcfg.resolve(overrides={"ttt.layers": [2, 1], "run_dir": "123", "wandb.run_name": "null"})
    assert effective.training.ttt.layers == (1, 2)
    assert (effective.training.run_dir, effective.training.wandb.run_name) == ("123", "null")


def test_resolve_changes_no_argument() -> None:
    config: dict[str, Any] = {"ttt": {"use_rope": True, "layers": "1,2"}}
    before = copy.deepcopy(config)
    tttcfg.resolve(config=config)
    assert config == before


def test_result_is_frozen() -> None:
    effective = tttcfg.resolve()
    with pytest.raises(AttributeError):
        effective.digest = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        effective.origins["seed"] = ()  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        effective.training.ttt.base_lr = 2.0


def test_resolving_twice_gives_the_same(tmp_path: Path) -> None:
    folder = trained(tmp_path, {"ttt.enable": True})
    assert tttcfg.resolve(folder, {"seed": 1}, ["batch_size=2"]) == tttcfg.resolve(
        folder, {"seed": 1}, ["batch_size=2"]
    )


def test_from_any_takes_a_dataclass_of_an_older_version() -> None:
    """Old names are read; what is absent from the object gets what the program did at that time."""
    training = TrainingArgs.from_any(OldTrainArgs())
    assert (training.batch_size, training.ttt.layers, training.ttt.rope_mode) == (4, (1, 2), "mini_batch")
    assert training.ttt.kernel == "torch"


def test_from_any_keeps_the_secret_of_a_live_object() -> None:
    """The running program goes on with its key; nothing prints or saves it."""
    training = TrainingArgs.from_any(OldTrainArgs())
    assert training.wandb.key is not None
    assert training.wandb.key.get_secret_value() == SECRET
    assert SECRET not in f"{training!r}{training}{training.model_dump_json()}"


def test_from_any_takes_a_namespace() -> None:
    values = Namespace(seed=5, ttt=Namespace(mini_batch_size=8), run_dir=Path("runs/exp"))
    training = TrainingArgs.from_any(values)
    assert (training.seed, training.ttt.mini_batch_size, training.run_dir) == (5, 8, "runs/exp")


def test_from_any_takes_a_mapping_with_an_enum() -> None:
    class Dtype(Enum):
        FULL = "float32"

    assert TrainingArgs.from_any({"param_dtype": Dtype.FULL}).param_dtype == "float32"


def test_from_any_takes_its_own_kind() -> None:
    training = TrainingArgs(seed=5)
    assert TrainingArgs.from_any(training) is training


@pytest.mark.parametrize("value", [None, 3, "text", ["seed", 1]])
def test_from_any_refuses_what_holds_no_settings(value: Any) -> None:
    with pytest.raises(InputError, match="not a TrainingArgs; "):
        TrainingArgs.from_any(value)


def test_from_any_refuses_what_cannot_be_saved() -> None:
    with pytest.raises(InputError, match=r"run_dir: a object cannot be saved"):
        TrainingArgs.from_any({"seed": 1, "run_dir": object()})


def test_three_lines_in_an_old_trainer(tmp_path: Path) -> None:
    """An argparse or simple-parsing trainer reads, resolves and saves with one line each."""
    old = OldTrainArgs()
    training = TrainingArgs.from_any(old)
    effective = tttcfg.resolve(config=training.model_dump(), overrides=["batch_size=2"])
    path = tttcfg.save_document(tmp_path, effective)
    assert path == tmp_path / "training_config.json"
    assert tttcfg.load_document(path).training.batch_size == 2
    assert SECRET not in path.read_text()


@pytest.mark.parametrize("form", ["training", "effective", "document", "mapping"])
def test_save_takes_every_form(tmp_path: Path, form: str) -> None:
    """A configuration is saved to the same bytes whichever way it is held."""
    effective = tttcfg.resolve(overrides=["seed=3"])
    tree = {"schema_version": HEAD, **effective.training.model_dump(mode="json")}
    forms: dict[str, Any] = {
        "training": effective.training,
        "effective": effective,
        "document": Document(effective.training, TTT_MOSHI, HEAD),
        "mapping": tree,
    }
    one = tttcfg.save_document(tmp_path / "one.json", forms["training"], written_at=NOON)
    other = tttcfg.save_document(tmp_path / "other.json", forms[form], written_at=NOON)
    assert other.read_bytes() == one.read_bytes()


@pytest.mark.parametrize("value", [None, 3, ["seed"], object()])
def test_what_is_no_configuration_is_an_input_error(value: Any, tmp_path: Path) -> None:
    for take in (tttcfg.save_document, tttcfg.bind):
        if value is None and take is tttcfg.bind:
            continue
        with pytest.raises(InputError, match=f"is a {type(value).__name__}, not a TrainingArgs; give"):
            take(tmp_path, value)
    with pytest.raises(InputError, match="not a TrainingArgs"):
        tttcfg.diff(value, TrainingArgs())
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_no_configuration(tmp_path: Path) -> None:
    for value in (tmp_path, "training_config.json"):
        with pytest.raises(InputError, match=r"read a file with tttcfg\.load_document"):
            tttcfg.save_document(tmp_path, value)


def test_load_and_save_are_stable(tmp_path: Path) -> None:
    """Loading a document and saving it again gives the same bytes."""
    first = tttcfg.save_document(tmp_path / "first.json", TrainingArgs(seed=3), written_at=NOON)
    second = tttcfg.save_document(tmp_path / "second.json", tttcfg.load_document(first))
    assert second.read_bytes() == first.read_bytes()


def test_load_takes_the_folder_that_a_document_was_saved_in(tmp_path: Path) -> None:
    configuration = TrainingArgs(seed=3)
    written = tttcfg.save_document(tmp_path, configuration)
    for path in (tmp_path, str(tmp_path), f"{tmp_path}/", written):
        assert tttcfg.load_document(path).training == configuration
        assert tttcfg.load_document(path).path == str(written)
    with pytest.raises(InputError, match="there is no such file"):
        tttcfg.load_document(checkpoint(tmp_path / "run"))


def test_load_returns_which_version_it_found(tmp_path: Path) -> None:
    document = tttcfg.load_document(write_json(tmp_path / "old.json", old_document(4)))
    assert document.version == 4
    assert document.decided_by == ("ttt.weight_lr_multiplier", "ttt.alpha_lr_multiplier")


def test_migrate_leaves_its_argument_alone() -> None:
    old = old_document(3)
    before = copy.deepcopy(old)
    assert tttcfg.migrate_document(old)["schema_version"] == HEAD
    assert old == before


def test_a_round_trip_of_migrations_gives_the_same_document() -> None:
    old = old_document(6, {"ttt.layers": "1,2", "ttt.use_rope": True, "batch_size": 4})
    assert tttcfg.migrate_document(tttcfg.migrate_document(old), to=6) == old


def test_migrate_refuses_to_lose() -> None:
    """What the older version cannot hold is named, and dropped only where that is asked for."""
    current = tttcfg.migrate_document(old_document(6)) | {"provenance": {}}
    current["ttt"] = current["ttt"] | {"kernel": "triton"}
    with pytest.raises(LossError, match=r"ttt\.kernel: version 6 cannot hold it"):
        tttcfg.migrate_document(current, to=6)
    assert "kernel" not in tttcfg.migrate_document(current, to=6, allow_loss=True)["ttt"]


@pytest.mark.parametrize("to", [-1, HEAD + 1])
def test_migrate_knows_its_versions(to: int) -> None:
    with pytest.raises(InputError, match=f"there is no version {to} of ttt_moshi; versions go from 0 to {HEAD}"):
        tttcfg.migrate_document(old_document(6), to=to)


def test_diff_lists_what_differs_the_gravest_first() -> None:
    left, right = TrainingArgs(), tttcfg.resolve(overrides=["run_dir=r", "seed=1", "lora.rank=8", "ttt.layers=[1,2]"])
    assert [(one.key, one.role, one.left, one.right) for one in tttcfg.diff(left, right)] == [
        ("lora.rank", Role.ARCHITECTURE, 64, 8),
        ("ttt.layers", Role.ARCHITECTURE, "middle", [1, 2]),
        ("seed", Role.TRAINING, 0, 1),
        ("run_dir", Role.RUN, None, "r"),
    ]


def test_diff_of_equals_is_empty(tmp_path: Path) -> None:
    document = tttcfg.load_document(document_file(trained(tmp_path)))
    assert tttcfg.diff(document, TrainingArgs()) == ()


class Small(Section):
    seed: int = setting(0, role=Role.TRAINING, unit="dimensionless", description="As in the built-in family.")
    width: int = setting(8, role=Role.ARCHITECTURE, unit="channels", description="Not in the built-in family.")


SMALL = Family(name="small", model=Small, migrations="tttcfg.migrations.ttt_moshi", schemas="tttcfg.schemas.ttt_moshi")


def test_configurations_of_two_families_are_not_compared() -> None:
    """Not even where the fields of one are fields of the other."""
    with pytest.raises(InputError, match="cannot be compared"):
        tttcfg.diff(Small(), TrainingArgs())
    with pytest.raises(InputError, match="cannot be compared"):
        tttcfg.diff(TrainingArgs(), Small())


def test_a_mapping_is_of_the_family_of_the_model_beside_it() -> None:
    given = {"schema_version": SMALL.head, "width": 16}
    assert [one.key for one in tttcfg.diff(Small(), given)] == ["width"]
    assert [one.key for one in tttcfg.diff(given, Small())] == ["width"]


def small_document(folder: Path) -> Path:
    """Return a folder with a document of the other family."""
    tttcfg.save_document(folder / "training_config.json", Small(width=16))
    return folder


TAKING: dict[str, Callable[[Any, Path, Family | None], Any]] = {
    "bind": lambda given, folder, family: tttcfg.bind(folder, given, family=family),
    "diff": lambda given, _, family: tttcfg.diff(given, given, family=family),
    "from_any": lambda given, _, family: tttcfg.from_any(given, family=family),
    "save_document": lambda given, folder, family: tttcfg.save_document(folder, given, family=family),
    "tag_for": lambda given, _, family: tttcfg.tag_for(given, family=family),
    "to_dict": lambda given, _, family: tttcfg.to_dict(given, family=family),
    "to_yaml": lambda given, _, family: tttcfg.to_yaml(given, family=family),
}
"""What every public function that takes a configuration does with it."""
READING: dict[str, Callable[[Path, Family | None], Any]] = {
    "adopt": lambda folder, family: tttcfg.adopt(folder, family=family),
    "bind": lambda folder, family: tttcfg.bind(folder, family=family),
    "inspect_weights": lambda folder, family: tttcfg.inspect_weights(folder, family=family),
    "load_document": lambda folder, family: tttcfg.load_document(folder, family=family),
    "migrate_document": lambda folder, family: tttcfg.migrate_document(
        json.loads((folder / "training_config.json").read_bytes()), family=family
    ),
    "resolve": lambda folder, family: tttcfg.resolve(folder, family=family),
    "resolve a file": lambda folder, family: tttcfg.resolve(config=folder / "training_config.json", family=family),
    "verify": lambda folder, family: tttcfg.verify(folder, family=family),
}
"""What every public function that takes a path or a document does with it."""
FORMS: dict[str, Callable[[], Any]] = {
    "model": lambda: Small(width=16),
    "effective": lambda: tttcfg.resolve(overrides={"width": 16}, family=SMALL),
    "document": lambda: Document(Small(width=16), SMALL, SMALL.head),
    "mapping": lambda: tttcfg.to_dict(Small(width=16)),
}


def test_the_tables_have_every_function_that_takes_a_family() -> None:
    functions = {name for name in tttcfg.__all__ if inspect.isfunction(getattr(tttcfg, name))}
    taking = {name for name in functions if "family" in inspect.signature(getattr(tttcfg, name)).parameters}
    assert taking - {"override_texts"} == {name.split()[0] for name in (*TAKING, *READING)}  # it reads no configuration


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TAKING)
def test_a_configuration_of_another_family_than_was_given_is_refused(name: str, form: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        TAKING[name](FORMS[form](), tmp_path, TTT_MOSHI)
    assert [problem.code for problem in caught.value.problems][:1] == ["family"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", READING)
def test_a_document_of_another_family_than_was_given_is_refused(name: str, tmp_path: Path) -> None:
    folder = small_document(tmp_path)
    weights_file(folder / "consolidated.safetensors", {"some.tensor": ("F32", (2,))})
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError) as caught:
        READING[name](folder, TTT_MOSHI)
    assert {problem.code for problem in caught.value.problems} == {"family"}
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("form", FORMS)
def test_from_any_of_a_model_returns_that_model_alone(form: str) -> None:
    with pytest.raises(InputError, match="of the family small") as caught:
        TrainingArgs.from_any(FORMS[form]())
    assert [problem.code for problem in caught.value.problems] == ["family"]
    assert tttcfg.from_any(FORMS[form]()) == tttcfg.from_any(FORMS[form](), family=SMALL) == Small(width=16)


def test_diff_leaves_secrets_out() -> None:
    left = tttcfg.resolve(overrides={"wandb.key": SECRET})
    assert tttcfg.diff(left, TrainingArgs()) == ()


def test_secret_is_in_nothing_that_resolve_returns(tmp_path: Path) -> None:
    """Neither origins nor findings nor what is printed of a result hold the key."""
    document = old_document(6, {"wandb.key": SECRET + "-saved"})
    config = {"wandb": {"key": SECRET}}
    effective = tttcfg.resolve(checkpoint(tmp_path, document), config, {"wandb.key": SECRET + "-typed"})
    assert effective.training.wandb.key.get_secret_value() == SECRET + "-typed"
    assert SECRET not in f"{effective!r}{dict(effective.origins)}{effective.findings}"
    assert "wandb.key" not in effective.origins


@pytest.mark.parametrize("bad", [[SECRET], {"a": SECRET}, 12345678901])
def test_invalid_secret_is_not_quoted(bad: Any) -> None:
    """A key of a wrong type is refused without showing it."""
    for sources in ({"config": {"wandb": {"key": bad}}}, {"overrides": {"wandb.key": bad}}):
        with pytest.raises(InputError) as caught:
            tttcfg.resolve(**sources)  # type: ignore[arg-type]
        assert "wandb.key" in str(caught.value)
        assert SECRET not in str(caught.value) + repr(caught.value)
        assert "12345678901" not in str(caught.value) + repr(caught.value)


def test_secret_does_not_survive_saving(tmp_path: Path) -> None:
    path = tttcfg.save_document(tmp_path, old_document(6, {"wandb.key": SECRET, "paper_metrics.api_key": SECRET}))
    assert SECRET not in path.read_text()
    assert "key" not in json.loads(path.read_text())["wandb"]


def test_settings_of_a_result_are_json_values_by_role() -> None:
    effective = tttcfg.resolve(overrides={"ttt.layers": [1, 2], "wandb.key": SECRET})
    architecture = effective.settings(Role.ARCHITECTURE)
    assert architecture["ttt.layers"] == [1, 2]
    assert "ttt.base_lr" not in architecture
    assert {"ttt.base_lr", "seed", "run_dir"} < effective.settings().keys()
    assert "wandb.key" not in effective.settings()
    assert effective.family is TTT_MOSHI


def test_to_dict_is_what_a_saved_document_holds(tmp_path: Path) -> None:
    effective = tttcfg.resolve(overrides={"seed": 3, "wandb.key": SECRET})
    saved = json.loads(tttcfg.save_document(tmp_path / "saved.json", effective, written_at=NOON).read_text())
    own = {"written_by", "written_at"}
    saved["provenance"] = {key: value for key, value in saved["provenance"].items() if key not in own}
    assert tttcfg.to_dict(effective) == saved


def test_to_yaml_is_read_as_the_same_settings(tmp_path: Path) -> None:
    training = TrainingArgs.from_any({"seed": 3, "ttt": {"layers": [1, 2]}, "wandb": {"key": SECRET}})
    text = tttcfg.to_yaml(training)
    (tmp_path / "own.yaml").write_text(text)
    assert tttcfg.diff(tttcfg.resolve(config=tmp_path / "own.yaml"), training) == ()
    assert SECRET not in text


def test_explain_lists_the_sources_of_a_setting() -> None:
    effective = tttcfg.resolve(config={"seed": 3}, overrides=["seed=4"])
    lines = tttcfg.explain(effective, "seed").splitlines()
    assert lines[0] == "seed = 4"
    assert [line.split()[1:3] for line in lines[-3:]] == [["override", "4"], ["config", "3"], ["default", "0"]]


def test_explain_without_a_key_has_a_line_for_every_setting() -> None:
    effective = tttcfg.resolve()
    assert len(tttcfg.explain(effective).splitlines()) == 1 + len(effective.origins)


def test_explain_knows_old_names_and_suggests_near_ones() -> None:
    assert tttcfg.explain(tttcfg.resolve(), "ttt.use_rope").startswith("ttt.rope_mode = ")
    with pytest.raises(InputError) as caught:
        tttcfg.explain(tttcfg.resolve(), "ttt.base_lrr")
    assert [(one.code, one.suggestion) for one in caught.value.problems] == [("unknown_key", "ttt.base_lr")]


def test_override_texts_are_what_resolve_takes() -> None:
    texts = tttcfg.override_texts(["seed=3", "--ttt.base-lr", "2", "--batch_size=4"])
    training = tttcfg.resolve(overrides=texts).training
    assert (training.seed, training.ttt.base_lr, training.batch_size) == (3, 2.0, 4)


def test_override_texts_suggest_the_programs_own_options() -> None:
    with pytest.raises(InputError) as caught:
        tttcfg.override_texts(["--checkpont_dir", "runs"], ["checkpoint_dir"])
    assert [one.suggestion for one in caught.value.problems] == ["--checkpoint_dir"]


def test_every_public_name_is_importable_and_listed() -> None:
    for name in tttcfg.__all__:
        assert getattr(tttcfg, name) is not None
        assert name in dir(tttcfg)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tttcfg' has no attribute 'resolv'"):
        tttcfg.resolv  # type: ignore[attr-defined]  # noqa: B018 reading it is the test
