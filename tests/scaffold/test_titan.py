"""A family of 162 settings is made of a trainer's dataclass, and released, by fewer than 100 typed lines."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT, SOURCE
from tests.cli.process import run
from tests.launcher import launch, python

pytest.importorskip("hypothesis")
SETTINGS = 162
TYPED = """
tttcfg family new titan --from titan.job_config:JobConfig
tttcfg family confirm --family titan_config.family:FAMILY  # exit 1
tttcfg family confirm '*' --family titan_config.family:FAMILY \\
    'training.*=training' training.dataset_path=run training.gc_freq=run training.gc_debug=run \\
    'training.dataloader.*=run' training.dtype=computation 'training.mixed*=computation' \\
    model.name=architecture model.flavor=architecture model.qk_norm=architecture \\
    'debug.*=training' debug.deterministic_warn_only=run experimental.custom_import=run \\
    'parallelism.*=run' \\
    --unit 'profiling.*=steps' \\
    --unit checkpoint.interval=steps \\
    --unit checkpoint.keep_latest_k=checkpoints \\
    --unit validation.freq=steps \\
    --unit parallelism.pipeline_parallel_layers_per_stage=layers \\
    --unit activation_checkpoint.memory_budget=dimensionless \\
    --unit comm.trace_buf_size=entries \\
    --unit fault_tolerance.fragment_sync_delay=steps \\
    --unit 'fault_tolerance.*=replicas'
tttcfg schema new --amend --family titan_config.family:FAMILY
tttcfg schema check --family titan_config.family:FAMILY
tttcfg schema freeze --family titan_config.family:FAMILY
"""
"""Everything that a person types."""
TRAINER = """
import dataclasses
import tttcfg
from titan.job_config import JobConfig
from titan_config.family import FAMILY

args = JobConfig()
args.model.dim, args.metrics.wandb_api_key = 256, "geheim"
config = tttcfg.from_any(args, family=FAMILY)
tttcfg.save_document("run", config)
effective = tttcfg.resolve("run", config={"model": {"dim": 8}}, family=FAMILY)
assert effective.training.model.dim == 256
secrets = {"metrics": None}  # which are in no document
assert config.model_dump(mode="json") | secrets == dataclasses.asdict(args) | secrets
assert "geheim" not in open("run/training_config.json").read()
"""


def typed() -> list[list[str]]:
    """Return the commands, as a shell has them."""
    return [shlex.split(line, comments=True) for line in TYPED.replace("\\\n", " ").strip().splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trainer whose family was made and released by what is typed."""
    root = tmp_path_factory.mktemp("titan")
    (root / "titan").mkdir()
    (root / "titan" / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("titan.py"), root / "titan" / "job_config.py")
    (root / "pyproject.toml").write_text('[project]\nname = "titan"\nversion = "1.0"\n')
    for (program, *words), line in zip(typed(), TYPED.replace("\\\n", " ").strip().splitlines(), strict=True):
        assert program == "tttcfg"
        result = run(*words, cwd=root)
        assert result.code == (1 if line.endswith("# exit 1") else 0), f"{line}\n{result.out}{result.err}"
    return root


def test_fewer_than_100_lines_are_typed() -> None:
    """The page has their number."""
    lines = len(TYPED.strip().splitlines())
    assert lines < 100
    page = " ".join((ROOT / "docs" / "adopt.md").read_text("utf-8").split())
    assert f"Of {SETTINGS} settings in the shape of torchtitan's, a test types {lines} lines" in page


def test_all_settings_are_there_and_the_check_is_content(project: Path) -> None:
    family = ("--family", "titan_config.family:FAMILY")
    assert run("schema", "check", *family, cwd=project).code == 0
    fields = run("fields", "--output", "json", *family, cwd=project).json
    assert len(fields) == SETTINGS >= 149


def test_the_generated_test_passes(project: Path) -> None:
    path = os.pathsep.join([str(SOURCE.parent), str(project)])
    result = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_titan_schema.py"),
        cwd=project,
        env={"PYTHONPATH": path},
    )
    assert " passed" in result.out


def test_the_models_are_formatted_and_typed(project: Path) -> None:
    """What is written is as the formatter would have it, also after roles were confirmed, and passes mypy strictly."""
    files = [project / "titan_config" / name for name in ("models.py", "family.py", "__init__.py")]
    files.append(project / "tests" / "test_titan_schema.py")
    pytest.importorskip("mypy")
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed")
    launch(ruff, "format", "--isolated", "--check", "--line-length", "120", *files, cwd=project)
    launch(ruff, "check", "--isolated", "--line-length", "120", "--select", "E,F,I,UP,RUF", *files, cwd=project)
    python(
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        os.devnull,
        *files[:2],
        cwd=project,
        env={"MYPYPATH": str(ROOT / "src")},
    )


def test_the_trainer_saves_its_dataclass(project: Path) -> None:
    (project / "run").mkdir()
    (project / "save.py").write_text(TRAINER)
    python("save.py", cwd=project, env={"PYTHONPATH": str(SOURCE.parent)})
