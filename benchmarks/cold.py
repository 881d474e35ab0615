"""Commands from start to end: `tttcfg resolve` and `--version` against the floor, Hydra and bare Python; the check."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from job import CONFIG, OVERRIDES, write_checkpoint, write_weights
from measure import ROUNDS, Figure, cost, ratio, used
from peers import write_floor, write_hydra

from tttcfg import TrainingArgs

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
COMMAND = str(Path(sys.executable).parent / "tttcfg")
QUIET_HYDRA = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=disabled",
    "hydra/hydra_logging=disabled",
)


def figures(work: Path, checkpoints: int) -> Iterator[Figure]:
    del checkpoints
    folder = work / "cold"
    checkpoint = str(write_checkpoint(folder / "checkpoint"))
    floor = [sys.executable, str(write_floor(TrainingArgs, folder)), checkpoint, str(CONFIG), *OVERRIDES]
    hydra_app = write_hydra(TrainingArgs, CONFIG.read_text("utf-8"), folder)
    hydra = [sys.executable, str(hydra_app), *QUIET_HYDRA, *OVERRIDES]
    resolve = [COMMAND, "resolve", "--checkpoint", checkpoint, "--config", str(CONFIG), *OVERRIDES]
    as_json = [*resolve, "--output", "json"]
    _agree(_output(floor), _output(as_json)["training"])

    costs, unit = cost([resolve, as_json, floor, hydra, [COMMAND, "--version"], [sys.executable, "-c", "pass"]])
    yaml_cost, json_cost, floor_cost, hydra_cost, version_cost, python_cost = costs
    yield ratio("cold resolve / floor", yaml_cost, floor_cost, 1.10, unit=unit)
    yield ratio("cold resolve --output json / floor", json_cost, floor_cost, 1.10, unit=unit)
    yield ratio("cold resolve / Hydra", yaml_cost, hydra_cost, 0.75, unit=unit)
    yield ratio("cold resolve --output json / Hydra", json_cost, hydra_cost, 0.75, unit=unit)
    yield ratio("tttcfg --version / python -c pass", version_cost, python_cost, 2.5, unit=unit)
    name = f"cold resolve checked against {write_weights(Path(checkpoint))} tensors / floor, which reads none"
    _output(as_json)
    (held,), unit = cost([resolve])
    yield ratio(name, held, floor_cost, None, unit=unit)
    check = [COMMAND, "schema", "check", "--golden", str(GOLDEN)]
    took = median(used(check).seconds for _ in range(ROUNDS))
    yield Figure("cold schema check", f"{took:.2f} s", "<= 2 s", took <= 2)


def _output(command: Sequence[str]) -> Any:
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def _agree(floor: dict[str, Any], ours: dict[str, Any]) -> None:
    """Stop where the floor did another job than ours; it does not know roles, so run settings may differ."""
    for name in ("ttt", "lora", "optim", "data"):
        if floor[name] != ours[name]:
            raise SystemExit(f"the floor and tttcfg disagree about {name}: {floor[name]} and {ours[name]}")
