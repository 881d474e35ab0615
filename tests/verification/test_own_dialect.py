"""Weights whose tensors have names that only their own family knows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tttcfg
from tests.builders import ROOT
from tests.cli.process import run
from tests.evidence.dialects.tensors import Size, consolidated, header_of
from tests.safetensors.files import weights_file
from tests.verification.net import NET, Net
from tttcfg import Family
from tttcfg.errors import ContradictionError
from tttcfg.verification.verify import weights_in

Shapes = dict[str, list[int]]


def shapes_of(width: int = 16, depth: int = 3) -> Shapes:
    """Return the shapes of a model of the trainer."""
    weights = {f"net.{index}.weight": [width, width] for index in range(depth)}
    return weights | {f"net.{index}.bias": [width] for index in range(depth)}


def checkpoint(folder: Path, configuration: Net | None = None, shapes: Shapes | None = None) -> Path:
    """Write weights, with the tag of a configuration and beside it where there is one."""
    tag = tttcfg.tag_for(configuration) if configuration is not None else None
    tensors = shapes_of() if shapes is None else shapes
    weights_file(folder / "model.safetensors", {name: ("F32", shape) for name, shape in tensors.items()}, tag)
    if configuration is not None:
        tttcfg.save_document(folder, configuration)
    return folder


def test_the_tensors_prove_what_the_family_reads_from_their_shapes(tmp_path: Path) -> None:
    verification = tttcfg.inspect_weights(checkpoint(tmp_path), family=NET)
    assert (verification.dialect, verification.proved) == ("net", {"width": 16, "depth": 3})
    assert not [one for one in verification.findings if one.severity != "info"]


def test_the_example_on_the_page_proves_the_same() -> None:
    page = (ROOT / "docs" / "weights.md").read_text("utf-8")
    (example,) = (one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Dialect(" in one)
    names: dict[str, Any] = {}
    exec(example, names)
    family = Family(
        "net_of_the_page", type("PageNet", (Net,), {}), NET.migrations, NET.schemas, tensors=names["NetTensors"]
    )
    header = header_of({name: ("F32", shape) for name, shape in shapes_of().items()})
    own = weights_in(header, family)
    assert (own.evidence.problems, own.evidence.notes) == ((), ())
    assert own.proved == weights_in(header, NET).proved
    cut = header_of({name: ("F32", shape) for name, shape in shapes_of().items() if not name.startswith("net.1.")})
    assert weights_in(cut, family).proved == weights_in(cut, NET).proved


def test_resolving_restores_what_they_prove(tmp_path: Path) -> None:
    effective = tttcfg.resolve(checkpoint(tmp_path), {"width": 4, "slope": 0.25}, family=NET)
    assert effective.training == Net(width=16, depth=3, slope=0.25)
    assert [given[0].source for given in effective.origins.values()] == ["weights", "weights", "config"]
    refuted = {one.key: one for one in effective.findings if one.code == "restored"}
    assert "is 16, as " in refuted["width"].message


def test_what_they_prove_is_verified(tmp_path: Path) -> None:
    verification = tttcfg.verify(checkpoint(tmp_path, Net(width=16, depth=3)))
    assert {name: one.outcome for name, one in verification.verdicts.items()} == {
        "width": "verified",
        "depth": "verified",
        "slope": "not_determined",
    }
    assert verification.binding == "bound"


@pytest.mark.parametrize(
    "check",
    [
        tttcfg.resolve,
        tttcfg.verify,
        tttcfg.bind,
        lambda folder: tttcfg.bind(folder, Net(width=4)),
    ],
    ids=["resolve", "verify", "bind", "bind a configuration"],
)
def test_what_they_refute_is_a_contradiction(check: Callable[[Path], Any], tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, Net(width=4))
    with pytest.raises(ContradictionError) as caught:
        check(folder)
    problems = {one.key: one for one in caught.value.problems}
    assert problems.keys() == {"width", "depth"}
    assert problems["width"].message == "is 4, but the weights have 16 (net.0.weight)"
    assert problems["depth"].advice == "override depth=3"


def test_they_are_bound_and_adopted(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "bound")
    assert tttcfg.bind(folder, Net(width=16, depth=3)).state == "bound"
    assert tttcfg.verify(folder).binding == "bound"
    adopted = tttcfg.adopt(checkpoint(tmp_path / "adopted"), {"slope": 0.25}, family=NET)
    assert tttcfg.load_document(adopted).training == Net(width=16, depth=3, slope=0.25)


def test_a_layer_that_is_missing_is_a_contradiction(tmp_path: Path) -> None:
    shapes = {name: shape for name, shape in shapes_of().items() if not name.startswith("net.1.")}
    with pytest.raises(ContradictionError, match=r"has no tensor in layer 1, of 0 to 2"):
        tttcfg.verify(checkpoint(tmp_path, Net(width=16, depth=3), shapes))


def test_names_that_the_family_does_not_have_either_are_reported(tmp_path: Path) -> None:
    verification = tttcfg.verify(checkpoint(tmp_path, Net(width=16, depth=3), shapes_of() | {"ema.net.0.weight": [1]}))
    (finding,) = (one for one in verification.findings if one.code == "weights")
    assert finding.message.startswith("has ema.net.0.weight, which the net trainer does not have")


def test_weights_of_no_program_are_refused_with_the_programs_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ContradictionError, match=r"names of no known program .*; known are the net trainer;"):
        tttcfg.verify(checkpoint(tmp_path, shapes={"other.weight": [1]}), family=NET)


def test_weights_of_another_program_are_not_described(tmp_path: Path) -> None:
    with pytest.raises(ContradictionError, match="of the Moshi TTT trainer, which a configuration of net does not"):
        tttcfg.verify(checkpoint(tmp_path, shapes=consolidated(Size(), [1], [64])), family=NET)


def test_no_other_family_knows_the_names(tmp_path: Path) -> None:
    with pytest.raises(ContradictionError, match="has tensor names of no known program"):
        tttcfg.verify(checkpoint(tmp_path))


def test_the_family_s_own_names_come_before_those_that_tttcfg_knows(tmp_path: Path) -> None:
    verification = tttcfg.inspect_weights(
        checkpoint(tmp_path, shapes=shapes_of() | consolidated(Size(), [1], [64])), family=NET
    )
    assert (verification.dialect, verification.proved) == ("net", {"width": 16, "depth": 3})


def test_the_command_line_checks_them_too(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, Net(width=4, depth=3))
    done = run("verify", folder, "--family", "tests.verification.net:NET", "--output", "json", cwd=ROOT)
    assert done.code == 1, done.err
    shown = json.loads(done.out)
    assert (shown["dialect"], shown["proved"]) == ("net", {"width": 16, "depth": 3})
    assert shown["verdicts"]["width"] == "contradicted"
