"""The fingerprint: other arithmetic passes, other computations do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tttcfg
from tests.nn.language import LORA, MODEL, Training, build, resolved, stirred
from tttcfg.errors import ContradictionError, InputError
from tttcfg.nn import check_computation, fingerprint
from tttcfg.nn.fingerprints import probe
from tttcfg.nn.fingerprints.fingerprints import FINGERPRINT_NAME
from tttcfg.nn.fingerprints.probe import LONGEST, SHORTEST, closed, codes, probe_input, unseen

SILENT: dict[str, dict[str, Any]] = {
    "mini_batch_size 8 to 16": {"ttt.mini_batch_size": 16},
    "mini_batch_size 8 to 64": {"ttt.mini_batch_size": 64},
    "base_lr / 10": {"ttt.base_lr": 1.6},
    "base_lr x 10": {"ttt.base_lr": 160.0},
    "base_lr to 1e-4": {"ttt.base_lr": 1e-4},
    "rotary on": {"ttt.rope_mode": "mini_batch"},
    "attention context of TTT layers to 64": {"ttt.ttt_layer_context": 64},
    "attention context of other layers to 64": {"ttt.non_ttt_layer_context": 64},
    "attention context one longer": {"ttt.ttt_layer_context": 25},
    "lora.scaling 2 to 4": {"lora.scaling": 4.0},
    "states not kept": {"ttt.persistent_states": "never"},
    "the first sequence's state for all": {"ttt.persistent_states": "first_sequence"},
    "reconstruction_eps x 100": {"ttt.reconstruction_eps": 1e-3},
    "inner_norm_eps as elsewhere": {"ttt.inner_norm_eps": 1e-6},
    "read out with the step twice": {"ttt.read_out": "twice"},
}
"""Settings that no strict loading notices: every row of a trainer's silent mistakes that a setting makes."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    run = Training(tmp_path_factory.mktemp("run"), LORA, fingerprint=True)
    return run.model, run.save()


def other(
    model: nn.Module, folder: Path, changes: Mapping[str, Any], model_config: Mapping[str, Any] = MODEL
) -> nn.Module:
    """Return a model of other settings that has, by strict loading, the same weights."""
    found = build(model_config, resolved(folder, {**LORA, **changes}, model_config))
    found.load_state_dict(model.state_dict(), strict=True)
    return found


def test_the_same_model_computes_the_same(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    model, folder = saved
    found = check_computation(other(model, tmp_path, {}), folder)
    assert (found.agrees, found.largest, found.compared, found.unseen) == (True, 0.0, 96, ())
    assert str(found).startswith("computes what was saved: 96 log-probabilities differ by at most 0 nats")


@pytest.mark.parametrize("changes", SILENT.values(), ids=SILENT)
def test_a_setting_that_loads_silently_is_caught(
    changes: dict[str, Any], saved: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    model, folder = saved
    with pytest.raises(
        ContradictionError, match="does not compute what was saved: 96 log-probabilities differ"
    ) as error:
        check_computation(other(model, tmp_path, changes), folder)
    assert error.value.problems[0].code == "computation"


@pytest.mark.parametrize("changes", SILENT.values(), ids=SILENT)
def test_comparing_configurations_catches_it_as_well(
    changes: dict[str, Any], saved: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    document = tttcfg.load_document(saved[1] / "consolidated" / "training_config.json")
    found = tttcfg.diff(document, resolved(tmp_path, {**LORA, **changes}))
    assert [difference.key for difference in found] == list(changes)


def test_delays_of_the_model_are_caught_by_the_fingerprint_alone(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    """They are in config.json, and not in the configuration."""
    model, folder = saved
    wrong = {**MODEL, "delays": [0, 1, 1, 1, 1]}
    assert not tttcfg.diff(resolved(tmp_path, LORA), resolved(tmp_path, LORA, wrong))
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(other(model, tmp_path, {}, wrong), folder)


def test_alpha_that_was_overwritten_is_caught(saved: tuple[nn.Module, Path]) -> None:
    model = copy.deepcopy(saved[0])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "forward_ssm_gating" in name:
                parameter.fill_(0.1)
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(model, saved[1])


def test_an_output_that_is_normalised_is_caught(saved: tuple[nn.Module, Path]) -> None:
    model = copy.deepcopy(saved[0])

    def normalised(module: nn.Module, _: Any, output: tuple[torch.Tensor, Any]) -> Any:
        del module
        return output[0] / output[0].norm(dim=-1, keepdim=True), output[1]

    for layer in (1, 2):
        model.transformer.layers[layer].seq_modeling_block.ttt_layer.register_forward_hook(normalised)
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(model, saved[1])


@pytest.mark.parametrize("changes", [{"initial_gating_alpha": 0.5}, {"scan_checkpoint_group_size": 4}])
def test_what_changes_no_saved_model_is_not_seen(
    changes: dict[str, Any], saved: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    """Where alpha starts and how activations are kept decide nothing once there are weights."""
    model, folder = saved
    found = other(model, tmp_path, {f"ttt.{name}": value for name, value in changes.items()})
    assert check_computation(found, folder).largest == 0


def test_a_difference_on_purpose_is_reported_and_no_error(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    model = other(saved[0], tmp_path, {"ttt.base_lr": 1.0})
    found = check_computation(model, saved[1], deviations=["ttt.base_lr"])
    assert found.agrees is False
    assert str(found).endswith("changed on purpose: ttt.base_lr")


@pytest.mark.parametrize("name", ["seed", "optim.lr", "run_dir", "no.such.setting"])
def test_a_change_of_training_or_of_the_run_excuses_no_difference(
    name: str, saved: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    model = other(saved[0], tmp_path, {"ttt.base_lr": 1.0})
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(model, saved[1], deviations=[name])
    found = check_computation(model, saved[1], deviations=[name, "ttt.base_lr"])
    assert found.reason == "changed on purpose: ttt.base_lr"


def test_what_was_not_seen_is_reported_with_the_agreement(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    assert "not seen" not in str(check_computation(saved[0], saved[1]))
    run = Training(tmp_path, {"ttt.ttt_layer_context": 3000, "ttt.mini_batch_size": 512}, fingerprint=True)
    found = check_computation(run.model, run.save())
    assert str(found).endswith(
        "; not seen: ttt.ttt_layer_context, what an inner mini-batch of 512 tokens passes to the next"
    )


def test_other_arithmetic_of_the_same_weights_passes(saved: tuple[nn.Module, Path]) -> None:
    model, folder = saved
    assert check_computation(copy.deepcopy(model).double(), folder).agrees
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert check_computation(model, folder).agrees
    finally:
        torch.set_num_threads(threads)


def test_the_tolerance_is_far_from_both_sides(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    """Rounding stays below a fifth of it, the smallest silent mistake is at five times of it at least."""
    model, folder = saved
    rounding = check_computation(copy.deepcopy(model).double(), folder)
    mistake = check_computation(
        other(model, tmp_path, {"ttt.reconstruction_eps": 1e-3}), folder, deviations=["ttt.reconstruction_eps"]
    )
    assert rounding.largest < rounding.tolerance / 5
    assert mistake.largest > mistake.tolerance * 5


def test_merged_weights_compute_what_the_adapters_did(tmp_path: Path) -> None:
    run = Training(tmp_path, LORA, fingerprint=True)
    folder = run.save(save_only_lora=False)
    merged = build(MODEL, tttcfg.resolve(checkpoint=folder))
    merged.load_state_dict(tttcfg.nn.merged_state_dict(run.model))
    found = check_computation(merged, folder)
    assert found.agrees
    assert found.largest > 0


@pytest.mark.parametrize("running", [torch.bfloat16, torch.float32])
def test_weights_in_bfloat16_pass_whatever_they_are_run_in(running: torch.dtype, tmp_path: Path) -> None:
    """The rounding of the file is in the fingerprint; the type that a model is run in is beyond what it can see."""
    run = Training(tmp_path, fingerprint=True)
    folder = run.save(dtype=torch.bfloat16)
    restored = copy.deepcopy(run.model).bfloat16().to(running)
    found = check_computation(restored, folder)
    assert found.agrees
    assert found.tolerance < 1e-3


def test_weights_in_float32_pass_when_they_are_run_in_bfloat16(saved: tuple[nn.Module, Path]) -> None:
    found = check_computation(copy.deepcopy(saved[0]).bfloat16(), saved[1])
    assert found.agrees
    assert found.largest > 1e-3


FAINT: dict[str, Any] = {**LORA, "param_dtype": "bfloat16", "ttt.initial_gating_alpha": 0.1, "ttt.base_lr": 1.0}
"""In bfloat16, gates as far open as after a short run, and the inner step of the trainer's default."""


@pytest.fixture(scope="module")
def faint(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    run = Training(tmp_path_factory.mktemp("faint"), FAINT, fingerprint=True)
    return run.model, run.save()


@pytest.fixture(scope="module")
def faint_and_large(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """The same, as if it were too large to be read in float32."""
    run = Training(tmp_path_factory.mktemp("large"), FAINT, fingerprint=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "WIDENED_BYTES", 0)
        return run.model, run.save()


@pytest.mark.parametrize("changes", SILENT.values(), ids=SILENT)
def test_a_setting_that_loads_silently_is_caught_in_bfloat16(
    changes: dict[str, Any], faint: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    model, folder = faint
    wrong = other(model, tmp_path, {**FAINT, **changes})
    with pytest.raises(ContradictionError, match="does not compute"):
        check_computation(wrong, folder)


def test_ttt_that_is_switched_off_is_caught_in_bfloat16(faint: tuple[nn.Module, Path]) -> None:
    model = copy.deepcopy(faint[0])
    with closed(model) as gates, pytest.raises(ContradictionError, match="does not compute"):
        check_computation(model, faint[1])
    assert gates == 2


@pytest.mark.parametrize("changes", SILENT.values(), ids=SILENT)
def test_what_hides_behind_the_rounding_of_a_large_model_is_reported(
    changes: dict[str, Any], faint_and_large: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    model, folder = faint_and_large
    found = check_computation(other(model, tmp_path, {**FAINT, **changes}), folder, deviations=list(changes))
    assert found.tolerance < 0.1
    assert found.unseen[0] == (
        f"what moves no log-probability by more than {found.tolerance:.2g} nats, as rounding in bfloat16 may"
    )
    assert found.agrees is (found.largest <= found.tolerance)


@pytest.mark.parametrize("kind", ["faint", "faint_and_large"])
def test_other_arithmetic_passes_in_bfloat16(kind: str, request: pytest.FixtureRequest) -> None:
    model, folder = request.getfixturevalue(kind)
    assert check_computation(copy.deepcopy(model).double(), folder).agrees
    assert check_computation(copy.deepcopy(model).float(), folder).agrees
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert check_computation(model, folder).agrees
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ttt_within_rounding_is_reported(dtype: str, tmp_path: Path) -> None:
    changes = {**FAINT, "param_dtype": dtype, "ttt.initial_gating_alpha": 1e-12}
    effective = resolved(tmp_path, changes)
    made = fingerprint(stirred(build(MODEL, effective)), MODEL, effective.ttt)
    *types, note = made["unseen"]
    assert [one.partition(":")[0] for one in types] == ["ttt.scan_dtype", "ttt.state_dtype"] * (dtype == "bfloat16")
    assert note.startswith("what TTT computes is within rounding here: closing every gate moves")


@pytest.mark.parametrize("inside", ["out_norm", "linears.0"])
def test_a_model_that_casts_to_bfloat16_inside_is_taken_for_one_of_bfloat16(inside: str, tmp_path: Path) -> None:
    """With the first it does not run in float32; with the second it does, and returns float32 all the same."""
    effective = resolved(tmp_path, FAINT)
    model = stirred(build(MODEL, effective))
    model.get_submodule(inside).register_forward_hook(lambda _module, _given, output: output.bfloat16())
    made = fingerprint(model, MODEL, effective.ttt)
    assert made["computed_in"] == "bfloat16"
    assert made["unseen"][0].endswith("in bfloat16 may")


def test_a_reading_in_float32_leaves_the_parameters_as_they_were(tmp_path: Path) -> None:
    effective = resolved(tmp_path, FAINT)
    model = stirred(build(MODEL, effective))
    before = {name: (id(one), one.data_ptr()) for name, one in model.named_parameters()}
    order = list(model.state_dict())
    assert fingerprint(model, MODEL, effective.ttt)["computed_in"] == "float32"
    assert {name: (id(one), one.data_ptr()) for name, one in model.named_parameters()} == before
    assert list(model.state_dict()) == order
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}


def test_logits_that_are_not_finite_make_none(tmp_path: Path) -> None:
    model = stirred(build(MODEL, resolved(tmp_path)))
    with torch.no_grad():
        model.text_linear.weight.fill_(torch.nan)
    assert fingerprint(model, MODEL)["unavailable"] == "the model's logits are not finite"
    assert fingerprint(model, {})["unavailable"] == "the model's config.json has no n_q, card and text_card"


def test_a_model_that_has_gone_mad_does_not_agree(saved: tuple[nn.Module, Path]) -> None:
    model = copy.deepcopy(saved[0])
    with torch.no_grad():
        model.text_linear.frozen_W.weight.fill_(torch.nan)
    with pytest.raises(ContradictionError, match="differ by at most inf nats"):
        check_computation(model, saved[1])


def test_a_checkpoint_without_a_fingerprint_is_not_compared(tmp_path: Path) -> None:
    run = Training(tmp_path)
    found = check_computation(run.model, run.save())
    assert found.agrees is None
    assert str(found) == "not compared with what was saved: the checkpoint has no fingerprint"


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"weights": "sha256:0"}, ContradictionError, "was made of weights of other names, shapes or dtypes"),
        ({"format": 3}, InputError, "is of a later tttcfg"),
        ({"numbers": "none"}, InputError, "is not a fingerprint"),
        ({"parameters_in": "nothing"}, InputError, "is not a fingerprint"),
        ({"unseen": [1]}, InputError, "is not a fingerprint"),
        ({"input": {"tokens": 1}}, InputError, "is not a fingerprint"),
    ],
)
def test_a_fingerprint_that_is_none_is_refused(
    changes: dict[str, Any], kind: type[Exception], message: str, saved: tuple[nn.Module, Path]
) -> None:
    model, folder = saved
    path = folder / "consolidated" / FINGERPRINT_NAME
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **changes}))
    try:
        with pytest.raises(kind, match=message):
            check_computation(model, folder)
    finally:
        path.write_text(before)


def test_a_fingerprint_of_the_layers_before_is_not_compared(saved: tuple[nn.Module, Path]) -> None:
    """What tttcfg 0.1 computed is not what the trainer did, so it proves nothing of what is computed now."""
    model, folder = saved
    path = folder / "consolidated" / FINGERPRINT_NAME
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "format": 1}))
    try:
        found = check_computation(model, folder)
    finally:
        path.write_text(before)
    assert found.agrees is None
    assert "its fingerprint is of tttcfg 0.1, which read it otherwise, and computed other TTT layers" in str(found)


def test_types_that_a_probe_in_float32_cannot_see_are_named(tmp_path: Path) -> None:
    ttt = resolved(tmp_path, {"param_dtype": "bfloat16"}).ttt
    shape = probe_input(MODEL, ttt)
    assert shape is not None
    assert [one.partition(":")[0] for one in unseen(shape, ttt, torch.float32)] == ["ttt.scan_dtype", "ttt.state_dtype"]
    assert unseen(shape, ttt, torch.bfloat16) == []


def test_the_input_is_long_enough_for_mini_batches_and_contexts_up_to_a_bound(tmp_path: Path) -> None:
    def length(**changes: Any) -> int:
        shape = probe_input(MODEL, resolved(tmp_path, {f"ttt.{name}": value for name, value in changes.items()}).ttt)
        assert shape is not None
        return shape.tokens

    assert length() == SHORTEST
    assert length(mini_batch_size=32) == 80
    assert length(ttt_layer_context=100) == 108
    assert length(mini_batch_size=500) == LONGEST


def test_what_the_input_is_too_short_for_is_reported(tmp_path: Path) -> None:
    ttt = resolved(tmp_path, {"ttt.ttt_layer_context": 3000, "ttt.mini_batch_size": 512}).ttt
    shape = probe_input(MODEL, ttt)
    assert shape is not None
    context, mini_batch = unseen(shape, ttt, torch.float32)
    assert context.startswith("ttt.ttt_layer_context: any of 256 tokens and more")
    assert mini_batch.startswith("what an inner mini-batch")


def test_the_input_is_the_same_everywhere(tmp_path: Path) -> None:
    """The recipe is part of the format: other numbers would make all fingerprints worthless."""
    shape = probe_input(MODEL, resolved(tmp_path).ttt)
    assert shape is not None
    found = codes(shape, torch.device("cpu"))
    assert found.shape == (1, 5, 40)
    assert found[0, 0, :6].tolist() == [38, 8, 13, 15, 1, 27]
    assert found[0, 4, -3:].tolist() == [2, 5, 8]
