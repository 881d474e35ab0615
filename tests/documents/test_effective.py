"""What a result shows of itself, in a shell and in a notebook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tttcfg
from tests.builders import trained
from tttcfg import ContradictionError, Effective


def test_its_repr_fits_a_screen_and_names_what_matters(tmp_path: Path) -> None:
    effective = tttcfg.resolve(trained(tmp_path), overrides=["ttt.base_lr=0.5"])
    lines = repr(effective).splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 120
    assert lines[0] == "<Effective configuration of ttt_moshi"
    assert re.search(r"settings  \d+ from checkpoint, .*1 from override", repr(effective))
    assert effective.digest in repr(effective)
    assert "warning [deviation] ttt.base_lr: is 0.5" in repr(effective)


def test_a_result_without_findings_has_a_repr() -> None:
    effective = tttcfg.resolve()
    assert repr(Effective(effective.training, None, {}, (), "sha256:0")).endswith("findings  none>")


def test_a_notebook_shows_the_settings_by_section_with_their_origins(tmp_path: Path) -> None:
    effective = tttcfg.resolve(trained(tmp_path), overrides=["ttt.base_lr=0.5"])
    page = effective._repr_html_()
    assert "<summary><code>ttt.mlp</code></summary>" in page
    row = next(row for row in page.split("<tr>") if ">base_lr<" in row)
    assert ">0.5<" in row
    assert ">override " in row
    assert "checkpoint: " in row


def test_what_a_notebook_shows_is_text_and_no_secret() -> None:
    effective = tttcfg.resolve(overrides={"run_dir": "<script>alert(1)</script>", "wandb.key": "an-invented-key"})
    page = effective._repr_html_()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "an-invented-key" not in page + repr(effective)


def test_of_a_contradicted_result_only_what_contradicts_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ContradictionError) as caught:
        tttcfg.resolve(trained(tmp_path, {"ttt.enable": True, "ttt.layers": [1, 9]}), overrides=["batch_size=77"])
    effective = caught.value.effective
    assert isinstance(effective, Effective)
    assert ">77<" not in effective._repr_html_()
    assert "1 error" in repr(effective)
