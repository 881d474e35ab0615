"""Recovering settings of a problem whose answer is known: a point that rests where the settings put it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import tttcfg
from tttcfg import Effective
from tttcfg.errors import InputError
from tttcfg.nn.recovery import batches as disjoint
from tttcfg.nn.recovery import contest, search
from tttcfg.nn.recovery.report import Recovery
from tttcfg.nn.recovery.search import recover, uncertain, varied
from tttcfg.nn.recovery.stationarity import AdamMetric

DIM, BATCH = 30, 8
SCALE = torch.logspace(-1, 1, DIM, dtype=torch.float64)


def target(effective: Effective, *, ridge: bool = False) -> torch.Tensor:
    """Return where training ends: the ratio of inner rate and mini-batch moves it, and so do other settings.

    Args:
        ridge: Nothing but that ratio moves it.
    """
    ttt = effective.training.ttt
    ratio = torch.log2(torch.tensor(ttt.base_lr / ttt.mini_batch_size, dtype=torch.float64))
    size = torch.log2(torch.tensor(ttt.mini_batch_size, dtype=torch.float64))
    place = torch.zeros(DIM, dtype=torch.float64)
    place[::3] += ratio
    place[1::3] += 0.0 if ridge else 0.5 * size
    place[2::3] += 2.0 if ttt.rope_mode == "mini_batch" else 0.0
    return place


class Point(nn.Module):
    def __init__(self, at: torch.Tensor) -> None:
        super().__init__()
        self.at = nn.Parameter(at.clone())


def loss(model: nn.Module, batch: torch.Tensor, effective: Effective, *, ridge: bool = False) -> torch.Tensor:
    distance = model.at - target(effective, ridge=ridge) - batch
    return (SCALE * distance.square()).sum(1).mean() / 2


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64) for _ in range(count)]


def effective(values: Mapping[str, Any]) -> Effective:
    return tttcfg.resolve(overrides={"ttt.enable": True, "ttt.layers": [1], **values})


NAMES = ("ttt.mini_batch_size", "ttt.base_lr", "ttt.rope_mode")


def recovered(true: Mapping[str, Any], count: int = 32, **options: Any) -> Recovery:
    ridge = options.pop("ridge", False)
    rests = target(effective(true), ridge=ridge) + options.pop("off", 0.0)
    options = {"fields": NAMES, "loss_fields": (), **options}
    return recover(lambda _: Point(rests), partial(loss, ridge=ridge), batches(count), effective({}), **options)


@pytest.mark.parametrize(
    "true",
    [
        {"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0, "ttt.rope_mode": "off"},
        {"ttt.mini_batch_size": 64, "ttt.base_lr": 0.25, "ttt.rope_mode": "mini_batch"},
        {"ttt.mini_batch_size": 1, "ttt.base_lr": 4.0, "ttt.rope_mode": "mini_batch"},
    ],
    ids=str,
)
def test_settings_are_recovered_from_a_wrong_start(true: dict[str, Any]) -> None:
    found = recovered(true)
    assert {name: one.outcome for name, one in found.answers.items()} == dict.fromkeys(NAMES, "recovered")
    assert {name: one.value for name, one in found.answers.items()} == true
    assert all(one.separation > 3 for one in found.answers.values())
    assert found.together == ()


def test_a_rate_between_the_candidates_is_found_to_a_factor_of_two() -> None:
    found = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 8.0, "ttt.rope_mode": "off"})
    assert found.answers["ttt.base_lr"].value == 8.0


def test_what_is_no_stationary_point_is_not_guessed() -> None:
    shift = torch.zeros(DIM, dtype=torch.float64)
    shift[-1] = 3.0
    found = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}, off=shift)
    for one in found.answers.values():
        assert (one.outcome, one.value) == ("not_determined", None)
        assert "is not near a stationary point" in one.reason


def test_what_changes_nothing_is_not_determined() -> None:
    found = recovered({"ttt.mini_batch_size": 8}, fields=("ttt.mini_batch_size", "ttt.read_out"))
    assert found.answers["ttt.mini_batch_size"].value == 8
    answer = found.answers["ttt.read_out"]
    assert (answer.outcome, answer.reason) == ("not_determined", "it changes nothing on these batches")


def test_neighbours_that_batches_do_not_tell_apart_are_both_named() -> None:
    values = {"ttt.mini_batch_size": (7, 8, 64)}
    found = recovered({"ttt.mini_batch_size": 8}, 8, fields=("ttt.mini_batch_size",), candidates=values)
    answer = found.answers["ttt.mini_batch_size"]
    assert answer.outcome == "narrowed"
    assert set(answer.remaining) == {7, 8}
    assert answer.separation > 3


def test_batches_that_were_measured_are_counted_and_bounded() -> None:
    few = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}, most_passes=100)
    assert 60 < few.passes <= 100
    assert few.best is None
    for one in few.answers.values():
        assert (one.outcome, one.value) == ("not_determined", None)
        assert one.reason == f"{few.passes} batches were measured, and no more may be; allow more passes"


def test_what_cannot_be_searched_is_refused_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        recovered({}, fields=("ttt.mini_batch", "ttt.layers", "run_dir"))
    assert [one.key for one in caught.value.problems] == ["ttt.mini_batch", "ttt.layers", "run_dir"]
    with pytest.raises(InputError, match="fields: no computation field is in doubt"):
        recovered({}, fields=None)
    with pytest.raises(InputError, match="batches: 7 are too few"):
        recovered({}, 7)


def test_a_configuration_is_varied_with_what_its_layers_read() -> None:
    own = effective({"ttt.base_lr": 4.0})
    other = varied(own, {"ttt.base_lr": 2.0, "ttt.mini_batch_size": 4})
    assert (other.training.ttt.base_lr, other.training.ttt.mini_batch_size) == (2.0, 4)
    assert other.digest == effective({"ttt.base_lr": 2.0, "ttt.mini_batch_size": 4}).digest
    with pytest.raises(InputError, match=r"ttt\.base_lr"):
        varied(own, {"ttt.base_lr": -1})


def test_candidates_may_come_in_any_order_and_twice() -> None:
    values = {"ttt.mini_batch_size": (64, 8, 8, 1), "ttt.base_lr": (one for one in (16.0, 1.0))}
    found = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}, fields=iter(values), candidates=values)
    assert {name: one.value for name, one in found.answers.items()} == {"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}
    tried = {one.values["ttt.mini_batch_size"] for one in found.answers["ttt.mini_batch_size"].trials}
    assert tried == {1, 8, 64}
    alone = recovered({"ttt.mini_batch_size": 8}, fields="ttt.mini_batch_size")
    assert alone.answers["ttt.mini_batch_size"].value == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": {"ttt.base_lr": 16.0}}, r"ttt\.base_lr: has candidates that are no list of values"),
        ({"candidates": {"ttt.rope_mode": "off"}}, r"ttt\.rope_mode: has candidates that are no list of values"),
        ({"candidates": {"ttt.rope_mode": ("off", "legacy")}}, r"ttt\.rope_mode: 'legacy' is no value"),
        ({"candidates": {"ttt.rope_mode": ("off", "off")}}, r"ttt\.rope_mode: has fewer than two values to try"),
        ({"candidates": {"ttt.base_lr": (1.0, -1.0)}}, r"ttt\.base_lr"),
        ({"loss_fields": None}, r"ttt\.mini_batch_size: may be what layers read or what the loss is"),
        ({"candidates": [("ttt.base_lr", (1.0, 2.0))]}, "candidates a mapping from these to lists of values"),
        ({"fields": [None]}, "fields is a list of dotted names"),
        ({"most_passes": -1}, "most_passes: -1 are none; give a number of batches"),
        ({"metric": AdamMetric({"module.at": torch.ones(DIM)})}, "metric: is of none of the trained parameters"),
        ({"metric": AdamMetric({"at": torch.ones(3)})}, "metric: has 3 numbers for at, which has 30"),
    ],
    ids=str,
)
def test_what_cannot_be_tried_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recovered({"ttt.mini_batch_size": 8}, **options)


def test_a_batch_that_is_there_twice_is_refused() -> None:
    given = batches(8)
    with pytest.raises(InputError, match="batches: number 8 is the same as number 3"):
        recover(lambda _: Point(SCALE), loss, (*given, given[3]), effective({}), fields=NAMES, loss_fields=())


@pytest.mark.parametrize("ratio", [2, 3])
def test_settings_that_make_up_for_each_other_in_steps_are_not_recovered(ratio: int) -> None:
    """Only base_lr / mini_batch_size ** ratio moves this point: no two neighbouring values make up for each other."""

    def place(own: Effective) -> torch.Tensor:
        ttt = own.training.ttt
        moved = torch.log2(torch.tensor(ttt.base_lr / ttt.mini_batch_size**ratio, dtype=torch.float64))
        return moved * torch.ones(DIM, dtype=torch.float64)

    def measured(model: nn.Module, batch: torch.Tensor, own: Effective) -> torch.Tensor:
        return (SCALE * (model.at - place(own) - batch).square()).sum(1).mean() / 2

    true = place(effective({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}))
    found = recover(lambda _: Point(true), measured, batches(32), effective({}), fields=NAMES[:2], loss_fields=())
    assert {one.outcome for one in found.answers.values()} == {"narrowed"}
    assert 8 in found.answers["ttt.mini_batch_size"].remaining
    assert 16.0 in found.answers["ttt.base_lr"].remaining
    assert found.together


WEIGHT = "text_padding_weight"


@pytest.mark.parametrize("away", [0.0, 0.06, 0.13])
def test_a_factor_of_the_whole_loss_is_never_recovered(away: float) -> None:
    """Where it is small all gradients are short, also of a point that is not quite at rest."""
    generator = torch.Generator().manual_seed(3)
    given = [one * torch.randn((), generator=generator).exp() for one in batches(32)]
    found = recover(
        lambda _: Point(torch.full((DIM,), away, dtype=torch.float64)),
        lambda model, batch, own: (model.at - batch).square().sum(1).mean() * own.training.text_padding_weight,
        given,
        effective({}),
        fields=[WEIGHT],
        loss_fields=[WEIGHT],
    )
    assert found.answers[WEIGHT].outcome == "not_determined"


def test_what_the_loss_is_stays_as_it_is_given() -> None:
    """Under weights that leave out what is not learnt yet, any point is at rest; the settings found there are not."""

    def measured(model: nn.Module, batch: torch.Tensor, own: Effective) -> torch.Tensor:
        learnt = loss(model, batch, own)
        unlearnt = (model.at + 20 - batch).square().sum(1).mean()
        weight = own.training.text_padding_weight
        return (learnt + weight * unlearnt) / (1 + weight)

    rests = target(effective({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}))
    found = recover(
        lambda _: Point(rests),
        measured,
        batches(32),
        effective({WEIGHT: 1.0}),
        {WEIGHT: (1e-6, 0.01, 1.0)},
        fields=[*NAMES[:2], WEIGHT],
        loss_fields=[WEIGHT],
    )
    assert found.best is not None
    assert found.best.values[WEIGHT] == 1.0
    assert {one.outcome for one in found.answers.values()} == {"not_determined"}


def test_a_rest_of_a_gradient_decides_nothing_about_what_hardly_matters() -> None:
    """What hardly moves the point moves it along the rest, which is sure although the rest is not."""
    eps = "ttt.reconstruction_eps"

    def measured(model: nn.Module, batch: torch.Tensor, own: Effective) -> torch.Tensor:
        return (SCALE * (model.at - own.training.ttt.reconstruction_eps - batch).square()).sum(1).mean() / 2

    rests = torch.full((DIM,), 0.12, dtype=torch.float64)
    found = recover(
        lambda _: Point(rests), measured, batches(32), effective({}), {eps: (1e-6, 1e-3)}, fields=[eps], loss_fields=()
    )
    assert found.best is not None
    assert found.best.squared_norm.errors < 3
    (trial,) = (one for one in found.answers[eps].trials if one.values[eps] == 1e-6)
    assert trial.beyond.errors > 3
    assert found.answers[eps].outcome == "not_determined"


def test_what_is_forgotten_for_memory_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    true = {"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0, "ttt.rope_mode": "off"}
    before = recovered(true)
    monkeypatch.setattr(contest, "_MOST_KEPT", 0)
    again = recovered(true)
    assert again.answers == before.answers
    assert again.passes > before.passes


def test_what_is_uncertain_is_asked_for() -> None:
    assert uncertain(effective({})) == []


def test_what_another_setting_makes_up_for_is_not_recovered() -> None:
    """Only the ratio of inner rate and mini-batch moves this point, so that each value of one has one of the other."""
    found = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0}, fields=NAMES[:2], ridge=True)
    for name, value in (("ttt.mini_batch_size", 8), ("ttt.base_lr", 16.0)):
        answer = found.answers[name]
        assert answer.outcome != "recovered"
        assert not answer.remaining or value in answer.remaining


def test_noise_does_not_hide_what_makes_up_for_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short mini-batches move the point as far as the smaller rate does, the other way, and make so much noise that it
    is not seen.
    """

    def measured(model: nn.Module, batch: torch.Tensor, own: Effective) -> torch.Tensor:
        ttt = own.training.ttt
        short, slow = ttt.mini_batch_size == 4, ttt.base_lr == 16.0
        noise = batch * 6 if short else batch
        return (SCALE * (model.at - 0.25 * (slow - short) - noise).square()).sum(1).mean() / 2

    def found() -> Recovery:
        tried = {"ttt.mini_batch_size": (4, 8), "ttt.base_lr": (16.0, 48.0)}
        given = effective({"ttt.mini_batch_size": 8, "ttt.base_lr": 48.0})
        point = Point(torch.zeros(DIM, dtype=torch.float64))
        return recover(lambda _: point, measured, batches(32), given, tried, fields=NAMES[:2], loss_fields=())

    answers = found().answers
    assert 16.0 in answers["ttt.base_lr"].remaining
    assert {one.outcome for one in answers.values()} == {"not_determined"}
    monkeypatch.setattr(search, "_HALF_AS_FAR", float("inf"))
    assert found().answers["ttt.base_lr"].outcome == "recovered", "which is what noise hides"


SIZES = {"ttt.mini_batch_size": (4, 8)}


def with_sizes(measured: Any, **options: Any) -> Recovery:
    """Return what is found of two mini-batch sizes, by a model that rests at 0 under 8."""
    point = Point(torch.zeros(DIM, dtype=torch.float64))
    options = {"fields": NAMES[:1], "loss_fields": (), **options}
    return recover(lambda _: point, measured, batches(32), effective({}), SIZES, **options)


@pytest.mark.parametrize("failing", [6, 20])
def test_batches_that_are_not_finite_do_not_count(failing: int) -> None:
    """A trainer passes over single ones; with many of them it could not have trained."""
    odd = {float(one.sum()) for one in batches(32)[-failing:]}

    def measured(model: nn.Module, batch: torch.Tensor, one: Effective) -> torch.Tensor:
        small = one.training.ttt.mini_batch_size == 4
        found = (SCALE * (model.at - small * 1e-9 - batch).square()).sum(1).mean()
        return found * float("inf") if float(batch.sum()) in odd and not small else found

    answer = with_sizes(measured).answers["ttt.mini_batch_size"]
    assert answer.outcome == ("not_determined" if failing == 6 else "recovered")


def test_a_value_under_which_nothing_trained_matters_is_not_the_trainings() -> None:
    def measured(model: nn.Module, batch: torch.Tensor, one: Effective) -> torch.Tensor:
        return loss(model, batch, effective({"ttt.mini_batch_size": 1, "ttt.base_lr": 1.0})) * (
            one.training.ttt.mini_batch_size == 8
        )

    answer = with_sizes(measured).answers["ttt.mini_batch_size"]
    assert (answer.outcome, answer.value) == ("recovered", 8)
    none = with_sizes(lambda model, batch, _: (model.at * batch * 0).sum())
    assert "all gradients are zero" in none.answers["ttt.mini_batch_size"].reason


@pytest.mark.parametrize("value", [None, torch.ones(3)])
def test_a_loss_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="loss: is no scalar"):
        with_sizes(lambda *_: value)


def test_values_of_tensors_are_values() -> None:
    tried = {"ttt.base_lr": torch.tensor([1.0, 16.0])}
    found = recovered({"ttt.base_lr": 16.0}, fields=NAMES[1:2], candidates=tried)
    assert json.loads(json.dumps(found.to_dict()))["settings"]["ttt.base_lr"]["value"] == 16.0
    assert "16" in found.table()


def test_a_sharded_model_needs_eight_batches_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has one gradient of all ranks' batches together."""
    monkeypatch.setattr(disjoint, "is_sharded_model", lambda _: True)
    with pytest.raises(InputError, match="7 on every rank are too few for a sharded model"):
        disjoint.require_enough(Point(SCALE), batches(7))
    disjoint.require_enough(Point(SCALE), batches(8))


def test_what_was_recovered_is_measured_beside_what_was_given() -> None:
    found = recovered({"ttt.mini_batch_size": 8, "ttt.base_lr": 16.0})
    assert found.settled is not None
    assert found.best is not None
    assert dict(found.settled.values) == dict(found.best.values)
    assert found.to_dict()["settled"]["values"] == dict(found.best.values)
