"""The Checkpointer with families of other trainers: with layers or without, with a training side or with none."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tttcfg
from tests.nn import language
from tests.nn.language import equal, files, values
from tests.nn.other_family import DESCRIBED, LAYERED, MODEL, PLAIN, Layers, Model, PlainArgs, Training, build, resolved
from tttcfg import Family
from tttcfg.documents.save import document_bytes
from tttcfg.errors import ContradictionError, ForeignDocumentError, InputError
from tttcfg.nn import (
    Checkpointer,
    TrainingSide,
    agree,
    check_computation,
    load_checkpoint,
    resolve_together,
    restore,
)
from tttcfg.resolving.families import as_document
from tttcfg.safetensors.header import read_header

FAMILIES: list[Family[Any, Any]] = [PLAIN, LAYERED, DESCRIBED]
every = pytest.mark.parametrize("family", FAMILIES, ids=[one.name for one in FAMILIES])


@every
def test_twice_n_steps_are_n_steps_a_resume_and_n_steps(family: Family[Any, Any], tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole", family)
    torch.manual_seed(5)
    whole.train(6)
    first = Training(tmp_path / "first", family)
    torch.manual_seed(5)
    folder = first.save(3)
    second = Training(tmp_path / "second", family)
    resumed = second.checkpointer.resume(folder)
    assert (resumed.step, resumed.optimizer, resumed.random) == (3, True, True)
    second.train(3)
    trained = {name for name, one in whole.model.named_parameters() if one.requires_grad}
    kept = trained if family is LAYERED else {*whole.model.state_dict()}
    one, other = values(second.model), values(whole.model)
    assert equal({name: one[name] for name in kept}, {name: other[name] for name in kept})


def test_without_a_training_side_the_whole_state_dict_is_saved_as_it_is(tmp_path: Path) -> None:
    run = Training(tmp_path, PLAIN, precision="float64")
    folder = run.save()
    saved = load_file(folder / "consolidated" / "consolidated.safetensors")
    assert equal(saved, values(run.model))
    assert {str(one.dtype) for one in saved.values()} == {"torch.float64", "torch.int64"}
    assert tttcfg.verify(folder).binding == "bound"


def test_a_training_side_decides_what_is_saved_and_in_which_type(tmp_path: Path) -> None:
    folder = Training(tmp_path, LAYERED, precision="bfloat16").save()
    assert "lora.safetensors" in files(folder)
    header = read_header(folder / "consolidated" / "lora.safetensors")
    assert {name: header.dtype(name) for name in header.names} == {"head.weight": "BF16", "head.bias": "BF16"}


@every
def test_a_model_is_restored(family: Family[Any, Any], tmp_path: Path) -> None:
    run = Training(tmp_path, family, slope=0.25)
    folder = run.save(save_only_lora=False)
    restored = restore(folder, {"slope": 0.75, "width": 8}, build=build)
    assert equal(values(restored.model), values(run.model))
    assert restored.effective.training.slope == 0.25
    assert isinstance(restored.effective.ttt, Layers) == (family is LAYERED)
    assert (restored.loaded.kept, restored.computation.agrees) == (0, None)


def test_a_file_of_what_was_trained_goes_onto_the_model_as_it_was_built(tmp_path: Path) -> None:
    run = Training(tmp_path, LAYERED)
    loaded = restore(run.save(), build=build).loaded
    assert (loaded.adapters, dict(loaded.groups)) == (True, {"head": 2})
    assert loaded.kept == len({id(one) for one in run.model.state_dict(keep_vars=True).values()}) - 2


def test_what_is_changed_on_purpose_is_loaded_and_reported(tmp_path: Path) -> None:
    folder = Training(tmp_path, PLAIN).save()
    assert restore(folder, overrides={"slope": 0.75}, build=build).loaded.deviations == ("slope",)


@every
def test_a_configuration_that_is_not_the_checkpoints_is_refused(family: Family[Any, Any], tmp_path: Path) -> None:
    folder = Training(tmp_path, family).save()
    other = resolved(tmp_path, family, slope=0.75)
    with pytest.raises(ContradictionError) as caught:
        load_checkpoint(build(MODEL, other), folder, other.training)
    assert [one.key for one in caught.value.problems] == ["slope"]


@every
def test_a_model_of_other_shapes_is_refused(family: Family[Any, Any], tmp_path: Path) -> None:
    run = Training(tmp_path, family)
    folder = run.save(save_only_lora=False)
    model = build(MODEL, resolved(tmp_path, family, width=4))
    with pytest.raises(ContradictionError, match=r"head\.weight: has the shape \[1, 8\] in the file and \[1, 4\]"):
        load_checkpoint(model, folder, run.effective)


def test_what_the_tensors_prove_is_checked_before_anything_is_saved_or_loaded(tmp_path: Path) -> None:
    folder = Training(tmp_path, DESCRIBED).save()
    assert tttcfg.verify(folder).proved == {"width": 8}
    other = resolved(tmp_path, DESCRIBED, width=4)
    message = r"width: .*is 4, but the weights have 8 \(layers\.0\.0\.weight\)"
    with pytest.raises(ContradictionError, match=message):
        Checkpointer(build(MODEL, resolved(tmp_path, DESCRIBED)), Counter(), tmp_path / "x", MODEL, training_args=other)
    with pytest.raises(ContradictionError, match=message):
        load_checkpoint(build(MODEL, other), folder, other)


def test_what_the_training_side_compares_is_refused_before_anything_is_saved(tmp_path: Path) -> None:
    effective = resolved(tmp_path, LAYERED, precision="float64")
    model = build(MODEL, resolved(tmp_path, LAYERED, slope=0.75)).float()
    with pytest.raises(ContradictionError) as caught:
        Checkpointer(model, Counter(), tmp_path / "run", MODEL, training_args=effective, fingerprint=False)
    assert [one.key for one in caught.value.problems] == ["slope", "precision"]
    assert not (tmp_path / "run").exists()


class Counter:
    step = 0


@dataclass
class PlainLive:
    """What the trainer of the plain family configures itself with."""

    width: int = 8
    slope: float = 0.25
    lr: float = 0.1
    precision: str = "float32"
    fresh: bool = False


LIVE = {"dataclass": PlainLive(), "namespace": Namespace(**vars(PlainLive())), "mapping": vars(PlainLive())}
live = pytest.mark.parametrize("live", LIVE.values(), ids=LIVE)
EXPECTED = PlainArgs(width=8, slope=0.25)


@live
def test_every_function_takes_what_does_not_name_its_family(live: Any, tmp_path: Path) -> None:
    assert tttcfg.from_any(live, family=PLAIN) == EXPECTED
    assert tttcfg.diff(live, EXPECTED, family=PLAIN) == ()
    assert tttcfg.to_dict(live, family=PLAIN) == tttcfg.to_dict(EXPECTED)
    assert tttcfg.to_yaml(live, family=PLAIN) == tttcfg.to_yaml(EXPECTED)
    assert tttcfg.tag_for(live, family=PLAIN) == tttcfg.tag_for(EXPECTED)
    agree(live, family=PLAIN)
    model, path = Model((8, 8), 0.25), tmp_path / "run"
    checkpointer = Checkpointer(model, Counter(), path, MODEL, training_args=live, fingerprint=False, family=PLAIN)
    folder = checkpointer.save_checkpoint()
    assert tttcfg.load_document(folder / "consolidated").training == EXPECTED
    assert load_checkpoint(model, folder, live, family=PLAIN).tensors == len(model.state_dict())
    assert checkpointer.resume(folder).loaded is not None
    assert tttcfg.bind(folder, live, family=PLAIN).state == "bound"
    assert tttcfg.load_document(tttcfg.save_document(tmp_path, live, family=PLAIN)).training == EXPECTED


@live
def test_without_a_family_it_is_one_of_the_built_in_family(live: Any, tmp_path: Path) -> None:
    folder = Training(tmp_path, PLAIN).save()
    for function in (
        lambda: agree(live),
        lambda: Checkpointer(Model((8,), 0.25), Counter(), tmp_path, MODEL, training_args=live),
        lambda: load_checkpoint(Model((8,), 0.25), folder, live),
    ):
        with pytest.raises(ForeignDocumentError, match="no setting of any version"):
            function()


def test_a_configuration_of_another_family_than_was_given_is_refused(tmp_path: Path) -> None:
    folder = Training(tmp_path, PLAIN).save()
    for function in (
        lambda: agree(EXPECTED, family=LAYERED),
        lambda: Checkpointer(
            Model((8,), 0.25), Counter(), tmp_path / "other", MODEL, training_args=EXPECTED, family=LAYERED
        ),
        lambda: load_checkpoint(Model((8,), 0.25), folder, EXPECTED, family=LAYERED),
        lambda: restore(folder, build=build, family=LAYERED),
        lambda: resolve_together(folder, family=LAYERED),
    ):
        with pytest.raises(InputError) as caught:
            function()
        assert [problem.code for problem in caught.value.problems] == ["family"]
    assert not (tmp_path / "other").exists()


def test_another_type_is_in_the_document_where_a_field_has_the_type(tmp_path: Path) -> None:
    folder = Training(tmp_path, LAYERED).save(dtype=torch.bfloat16)
    assert tttcfg.resolve(folder, family=LAYERED).training.precision == "bfloat16"
    run = Training(tmp_path, LAYERED)
    assert run.checkpointer.resume(folder).step == 1
    assert run.effective.training.precision == "float32"


def test_the_optimiser_may_be_left_out_by_the_family_s_own_field(tmp_path: Path) -> None:
    folder = Training(tmp_path, LAYERED).save()
    assert Training(tmp_path, LAYERED, fresh=True).checkpointer.resume(folder).optimizer is False
    assert Training(tmp_path, PLAIN, fresh=True).checkpointer.resume(Training(tmp_path, PLAIN).save()).optimizer


@pytest.mark.parametrize(
    ("family", "advice"),
    [(PLAIN, "construct the Checkpointer without it"), (LAYERED, "override fresh=true to start afresh")],
)
def test_a_state_without_an_optimiser_is_refused_with_what_to_do(
    family: Family[Any, Any], advice: str, tmp_path: Path
) -> None:
    run = Training(tmp_path, family)
    run.checkpointer.run = run.checkpointer.run.__class__(run.model, run.state)
    folder = run.save()
    with pytest.raises(ContradictionError, match=f"optimizer: the checkpoint has none; {advice}"):
        Training(tmp_path, family).checkpointer.resume(folder)


def test_a_model_without_tensors_is_refused(tmp_path: Path) -> None:
    effective = resolved(tmp_path, PLAIN)
    with pytest.raises(InputError, match="model: has no tensors to save"):
        Checkpointer(torch.nn.ReLU(), Counter(), tmp_path, MODEL, training_args=effective, fingerprint=False)


def test_a_misspelled_name_of_a_training_side_is_an_error() -> None:
    with pytest.raises(TypeError, match="Misspelled has departure; a training side has dtype, full_finetuning"):
        type("Misspelled", (TrainingSide,), {"departure": None})


def test_a_setting_that_was_changed_on_purpose_excuses_another_computation_in_its_own_family(tmp_path: Path) -> None:
    run = language.Training(tmp_path, fingerprint=True)
    folder = run.save()
    with torch.no_grad():
        run.model.text_emb.weight.add_(0.1)
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(run.model, folder, deviations=["slope"])
    assert check_computation(run.model, folder, deviations=["slope"], family=PLAIN).agrees is False
    inside = next(folder.rglob("training_config.json"))
    inside.write_bytes(document_bytes(as_document(PlainArgs())))
    assert check_computation(run.model, folder, deviations=["slope"]).agrees is False, "the family of the document"
