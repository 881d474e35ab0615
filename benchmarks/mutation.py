"""The mutation score of the resolver and of migration: how many small changes of them the tests notice.

    python benchmarks/mutation.py               # all of them, which takes over an hour
    python benchmarks/mutation.py --sample 300  # so many, drawn at random
    python benchmarks/mutation.py --report      # the score of what was tried

Every mutant is tried in a fork of a process that has collected the tests, the fastest first of those that run the
changed line, until one fails. Results are appended to a file, so that a later run goes on where this one stopped.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import _lru_cache_wrapper, cached_property
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, NamedTuple

import pytest
from mutants import Mutant, identity, mutants, mutated

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tttcfg"
PARTS = ("resolving", "migration")
TESTS = (
    *("resolving", "migration", "documents", "family", "schema_tools", "fleet", "test_api.py"),
    *("test_bad_input.py", "test_secrets.py", "report", "verification", "evidence", "files/test_remote.py"),
)
"""Tests that call the code in their own process."""
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
"""By the name of the mutant, why no test can notice it."""
SLOWER = 2
"""What takes so many times the processor time that the tests took while they were traced, is an endless loop."""


class Ran(NamedTuple):
    """What a test did in the unchanged program: the seconds it took, and the lines it ran, as FILE:LINE."""

    seconds: float
    lines: frozenset[str]


class Runner:
    """A plugin of pytest that runs the collected tests on mutants, in place of running them once."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.failed = chosen, ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        gc.collect()
        functions = {(one.__code__.co_filename, *identity(one.__code__)): one for one in _functions()}
        forget = list(_caches())
        ran = self.ran(session, forget)
        items = sorted(session.items, key=lambda item: ran[item.nodeid].seconds)
        _forget(forget)
        for mutant in self.due():
            here = f"{mutant.file}:{mutant.line}"
            concerned = [item for item in items if here in ran[item.nodeid].lines]
            function = functions.get((mutant.file, *mutant.function))
            limit = 5 + round(SLOWER * sum(ran[item.nodeid].seconds for item in concerned))
            started = time.monotonic()
            ended, by = self.tried(mutant, function, concerned, limit) if concerned and function else ("uncovered", "")
            _append(self.chosen.results, mutant, ended, by, time.monotonic() - started)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = report.nodeid

    def ran(self, session: pytest.Session, forget: list[Callable[[], object]]) -> dict[str, Ran]:
        """Return what every test did, from the file that keeps it, or by running them all."""
        kept = self.chosen.results.with_suffix(".tests.json")
        mark = _digest(*sorted(SOURCE.rglob("*.py")), *sorted({item.path for item in session.items}))
        if not kept.exists() or json.loads(kept.read_text("utf-8"))["mark"] != mark:
            code, message = _forked(lambda: self.traced(session, forget, kept, mark))
            if code:
                sys.exit(f"the tests cannot be run: {message}")
        whole = json.loads(kept.read_text("utf-8"))
        sys.stdout.writelines(f"fails without any change, and is left out: {name}\n" for name in whole["left_out"])
        return {name: Ran(seconds, frozenset(lines)) for name, (seconds, lines) in whole["tests"].items()}

    def traced(self, session: pytest.Session, forget: list[Callable[[], object]], kept: Path, mark: str) -> str:
        found: dict[str, tuple[float, list[str]]] = {}
        left_out: list[str] = []
        for item, following in zip(session.items, [*session.items[1:], session.items[0]], strict=True):
            _forget(forget)  # or what is cached would count as run by the first test alone
            lines: set[str] = set()
            started = time.process_time()
            with _Tracing(lines):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:  # it would notice every mutant
                lines, self.failed = set(), ""
                left_out.append(item.nodeid)
            found[item.nodeid] = time.process_time() - started, sorted(lines)
        kept.write_text(json.dumps({"mark": mark, "tests": found, "left_out": left_out}), "utf-8")
        return ""

    def due(self) -> list[Mutant]:
        """Return the mutants of the sample that are not tried yet."""
        chosen = sample(self.chosen)
        tried = {name: ended for name, (ended, _) in read_results(self.chosen.results, chosen).items()}
        again = ("survived", "uncovered") if self.chosen.again else ()
        return [one for one in chosen if one.name not in tried or tried[one.name] in again]

    def tried(self, mutant: Mutant, function: FunctionType, items: list[pytest.Item], cpu: int) -> tuple[str, str]:
        """Return how a mutant ended, and the test that noticed it, or the signal that ended an endless loop."""
        code = mutated(mutant)
        if len(code.co_freevars) != len(function.__code__.co_freevars):
            return "killed", "does not compile in its place"

        def action() -> str:
            function.__code__ = code
            for item in items:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=item)
                if self.failed:
                    return self.failed
            return ""

        status, by = _forked(action, cpu)
        return ("survived", "") if status == 0 else ("killed", by or f"status {status}")


class _Tracing:
    """Collects the lines of the program that are run, as FILE:LINE."""

    def __init__(self, lines: set[str]) -> None:
        self.lines, self.files = lines, tuple(f"{SOURCE / part}{os.sep}" for part in PARTS)

    def __enter__(self) -> None:
        sys.settrace(self.called)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def called(self, frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        return self.ran if frame.f_code.co_filename.startswith(self.files) else None

    def ran(self, frame: FrameType, event: str, argument: Any) -> Any:
        del event, argument
        self.lines.add(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return self.ran


def sample(chosen: argparse.Namespace) -> list[Mutant]:
    """Return the chosen mutants of all parts, in the order in which they are tried."""
    paths = [path for part in PARTS for path in sorted((SOURCE / part).glob("*.py"))]
    found = [one for path in paths for one in mutants(path, str(path.relative_to(SOURCE)))]
    random.Random(chosen.seed).shuffle(found)
    return found[: chosen.sample] if chosen.sample else found


def read_results(path: Path, chosen: list[Mutant]) -> dict[str, tuple[str, str]]:
    """Return how the chosen mutants ended, as far as the files that they are of have not changed since."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    marks = {one.name: _digest(Path(one.file)) for one in chosen}
    entries = map(json.loads, lines)
    return {one["name"]: (one["ended"], one["by"]) for one in entries if marks.get(one["name"]) == one["source"]}


def report(chosen: argparse.Namespace) -> Iterator[str]:
    """Yield the score, and every mutant that no test noticed and that is not known to be equivalent."""
    drawn = sample(chosen)
    results = read_results(chosen.results, drawn)
    equivalent = json.loads(EQUIVALENT.read_text("utf-8"))
    for part in PARTS:
        ended = {name: how for name, (how, _) in results.items() if name.startswith(f"{part}{os.sep}")}
        killed = sum(how == "killed" for how in ended.values())
        same = sum(how != "killed" and name in equivalent for name, how in ended.items())
        score = 100 * killed / max(1, len(ended) - same)
        yield f"{part}: {killed} of {len(ended)} mutants noticed, {same} equivalent: {score:.1f} %"
    yield from (f"{how}: {name}" for name, (how, _) in results.items() if how != "killed" and name not in equivalent)
    yield f"{len(results)} tried of {len(drawn)} (seed {chosen.seed})"


def _functions() -> Iterator[FunctionType]:
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__.co_filename.startswith(str(SOURCE)):
            yield one


def _caches() -> Iterator[Callable[[], object]]:
    """Yield what forgets the results that the program keeps."""
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper):
            if str(one.__module__).startswith("tttcfg"):
                yield one.cache_clear
        elif str(type(one).__module__).startswith("tttcfg"):
            kept = [name for name in dir(type(one)) if isinstance(getattr(type(one), name, None), cached_property)]
            if kept and hasattr(one, "__dict__"):
                yield lambda one=one, kept=kept: [one.__dict__.pop(name, None) for name in kept]


def _forget(forget: list[Callable[[], object]]) -> None:
    for one in forget:
        one()


def _forked(action: Callable[[], str], cpu: int = 0) -> tuple[int, str]:
    """Run an action in a process of its own; return its exit status, 0 where it returns no text, and that text."""
    reading, writing = os.pipe()
    folder = tempfile.mkdtemp(prefix="mutant")
    child = os.fork()
    if not child:
        _limit(folder, cpu)
        message = "raised"
        try:
            message = action()
            os.write(writing, message.encode())
        finally:
            os._exit(bool(message))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        message = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.rmtree(folder, ignore_errors=True)
    return status, message


def _limit(folder: str, cpu: int) -> None:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    if cpu:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)


def _digest(*paths: Path) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _append(results: Path, mutant: Mutant, ended: str, by: str, seconds: float) -> None:
    source = _digest(Path(mutant.file))
    entry = {"name": mutant.name, "ended": ended, "by": by, "seconds": round(seconds, 2), "source": source}
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="so many mutants, drawn at random; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "mutants.jsonl")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH", help="below tests/; by default many")
    parser.add_argument("--again", action="store_true", help="try those again that no test noticed")
    parser.add_argument("--report", action="store_true", help="print the score of what was tried, and try nothing")
    chosen = parser.parse_args()
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    if not chosen.report:
        os.chdir(ROOT)
        options = ["-q", "-p", "no:cacheprovider", "--capture=sys", *(f"tests/{name}" for name in chosen.tests)]
        code = pytest.main(options, plugins=[Runner(chosen)])
        if code:
            sys.exit(code)
    sys.stdout.writelines(f"{line}\n" for line in report(chosen))


if __name__ == "__main__":
    main()
