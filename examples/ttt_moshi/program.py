"""What the two programs share: command-line overrides, logging of a configuration, and exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

import tttcfg
from tttcfg import Effective, InputError, Origin, Problem, Role, TttcfgError

logger = logging.getLogger("ttt_moshi")


def run(main: Callable[[list[str]], int]) -> None:
    """Run a program and exit: 0 fine, 1 the answer is no, 2 wrong usage or invalid input."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        code = main(sys.argv[1:])
    except TttcfgError as error:
        logger.error("error: %s", error)
        code = error.exit_code
    except OSError as error:
        logger.error("error: %s: %s", error.filename or "output", error.strerror or error)
        code = 2
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def parse_overrides(words: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return the arguments that `parser` left over, such as `--ttt.base_lr 2` or `ttt.base_lr=2`, as overrides."""
    options = [name.lstrip("-") for action in parser._actions for name in action.option_strings]  # noqa: SLF001
    return tttcfg.override_texts(words, options)


def run_all(*actions: Callable[[], None]) -> None:
    """Run all actions, also after one has failed.

    Raises:
        InputError: The problems of all that failed, at once.
    """
    found = [problem for action in actions for problem in _problems_of(action)]
    if found:
        raise InputError(dict.fromkeys(found))  # several may fail for the same reason


def _problems_of(action: Callable[[], None]) -> tuple[Problem, ...]:
    try:
        action()
    except InputError as error:
        return error.problems
    return ()


def deterministic_device() -> torch.device:
    """Make every computation repeatable to the last bit on this machine, and return the device to use."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def ttt_lines(effective: Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]) -> Iterator[tuple[str, str]]:
    """Yield the model-defining settings of the `ttt` section, with values as they are printed; none if TTT is off."""
    for name, value in effective.settings(Role.ARCHITECTURE, Role.COMPUTATION).items():
        if name.startswith("ttt.") and effective.training.ttt.enable:
            yield name.removeprefix("ttt."), shown(value)


def shown(value: Any) -> str:
    """Return a value as the programs print it: layers as 28,29,30."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def log_findings(effective: Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]) -> None:
    """Log the findings: what was restored, what departs from training, and what is not known."""
    for finding in effective.findings:
        if finding.code in ("not_determined", "kernel"):
            continue  # true of nearly all settings; and the layers log their kernel
        level = logging.INFO if finding.severity == "info" else logging.WARNING
        logger.log(level, "%s", finding.labelled())


def log_overrides(effective: Effective[tttcfg.TrainingArgs, tttcfg.TTTConfig]) -> None:
    """Log every setting that was overridden, and the value that it would have without the override."""
    for name, value in effective.settings(Role.ARCHITECTURE, Role.COMPUTATION, Role.TRAINING).items():
        origins = effective.origins[name]
        if origins[0].source == "override":
            logger.info("🔧 Overridden: %s: %s%s", name, shown(value), _instead(shown(value), origins))


def _instead(value: str, origins: Sequence[Origin]) -> str:
    before = next((one for one in origins if one.source != "override"), None)
    if before is None:
        return ""
    other = shown(before.value)
    return f", as without it ({before.source})" if other == value else f" instead of {other} ({before.source})"
