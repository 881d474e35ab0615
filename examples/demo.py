"""The main job on the bundled checkpoint: with any config file, the values that the weights were trained with.

Run by `make demo`. Reads examples/, writes only to a temporary folder.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import textwrap
from collections import Counter
from pathlib import Path
from typing import cast

import tttcfg
from tttcfg import Effective, Role

EXAMPLES = Path(__file__).parent
CHECKPOINT = EXAMPLES / "checkpoint"
CONFIG = EXAMPLES / "any.yaml"
DOCUMENT = CHECKPOINT / "checkpoints" / "checkpoint_001000" / "consolidated" / "training_config.json"

# What the old evaluation script put back from the checkpoint; everything else came from the config file.
OLD_SCRIPT = ("ttt.enable", "ttt.layers", "ttt.base_lr", "ttt.mini_batch_size", "batch_size")

FATE = {
    Role.ARCHITECTURE: "the weights do not load, or only some of them",
    Role.COMPUTATION: "loads silently, computes something else",
}


def text(value: object) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def heading(title: str) -> None:
    print(f"\n{title}")


def show(line: str, indent: int = 3) -> None:
    print(textwrap.fill(line, 110, initial_indent="   ", subsequent_indent=" " * indent, break_on_hyphens=False))


def layers_read_the_same(key: str, one: Effective, other: Effective) -> bool:
    """Whether two ways to write a setting come to the same for the layers, as a null context does."""
    name = key.removeprefix("ttt.")
    missing = object()
    return getattr(one.ttt, name, missing) == getattr(other.ttt, name, None)


def file_alone() -> Effective:
    """Return what the config file means alone, although the weights contradict it."""
    try:
        return tttcfg.resolve(CHECKPOINT, CONFIG, restore="none")
    except tttcfg.ContradictionError as error:
        return cast("Effective", error.effective)


def what_would_have_gone_wrong() -> Effective:
    """Compare the config file's own meaning with what the checkpoint was trained with."""
    without = file_alone()
    effective = tttcfg.resolve(CHECKPOINT, CONFIG)
    heading("1. The config file alone (--restore none) against what tttcfg resolves")
    print(f"   {'field':<27}{'file alone':<14}{'resolved':<16}what such a difference can do")
    for one in tttcfg.diff(without, effective):
        if one.role in FATE and not layers_read_the_same(one.key, without, effective):
            mark = "*" if one.key in OLD_SCRIPT else ""
            print(f"   {one.key + mark:<27}{text(one.left):<14}{text(one.right):<16}{FATE[one.role]}")
    print("   * put back by the old evaluation script too; it left the others as the file has them")
    return effective


def where_values_come_from(effective: Effective) -> None:
    heading("2. Where values come from, and what they override")
    for key in ("ttt.mini_batch_size", "ttt.weight_lr_multiplier", "log_freq", "ttt.head_dim"):
        for rank, origin in enumerate(effective.origins[key]):
            where = origin.where.replace(f"{EXAMPLES}/", "").replace(str(DOCUMENT.parent.relative_to(EXAMPLES)), "…")
            print(f"   {key if rank == 0 else '':<26}{text(origin.value):<6}{origin.source:<12}{where}")
    warnings: dict[str, list[str]] = {}
    for finding in effective.findings:
        if finding.severity == "warning":
            warnings.setdefault(finding.message, []).append(finding.key)
    for message, keys in warnings.items():
        show(f"warning: {', '.join(keys)}: {message}", 6)


def checked_against_the_tensors() -> None:
    heading("3. The same two, checked against the names and shapes of the tensors; none is loaded")
    for alone in (True, False):
        try:
            verification = tttcfg.verify(CHECKPOINT, CONFIG, restore="none" if alone else "auto")
        except tttcfg.ContradictionError as error:
            for problem in error.problems:
                message = problem.message.replace(f"{EXAMPLES}/", "")
                show(f"file alone: {problem.key} {message}", 6)
            continue
        counts = Counter(one.outcome for one in verification.verdicts.values())
        show(f"resolved: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")
        silent = [name for name, one in verification.verdicts.items() if one.shown == "no tensor depends on it"]
        show(f"only in the saved configuration: {', '.join(silent)}", 6)


def on_purpose() -> None:
    heading("4. Another value on purpose: allowed, and reported")
    effective = tttcfg.resolve(CHECKPOINT, CONFIG, ["ttt.mini_batch_size=16"])
    assert effective.ttt is not None  # TTT is on in this checkpoint
    print(f"   ttt.mini_batch_size=16  ->  the layers read {effective.ttt.mini_batch_size}")
    for finding in effective.findings:
        if finding.code == "deviation":
            print(f"   {finding.severity} [{finding.code}] {finding.key}: {finding.message}")


def migrating() -> None:
    heading("5. The same checkpoint's document, migrated (in a temporary copy)")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(DOCUMENT, folder))
        old = tttcfg.load_document(copy)
        tttcfg.save_document(copy, old)
        saved = json.loads(copy.read_text("utf-8"))
        new = tttcfg.load_document(copy)
    provenance = saved["provenance"]
    newest = provenance["decided_by"][0]
    print(
        f"   no number in it, but {newest} came with version {old.version}: {old.version} -> {saved['schema_version']}"
    )
    counts = Counter({kind: sum(map(len, provenance[kind].values())) for kind in ("filled", "renamed", "removed")})
    print(f"   {', '.join(f'{count} {kind}' for kind, count in counts.items())}; a fill is what the trainer did then:")
    for reason, values in provenance["filled"].items():
        for key, value in values.items():
            if key in ("ttt.weight_lr_multiplier", "ttt.rope_mode", "ttt.ttt_layer_context"):
                print(f"   + {key:<26}{text(value):<8}{reason}")
    print(f"   read again, nothing differs: {not tttcfg.diff(old, new)}")


def main() -> None:
    before = DOCUMENT.read_bytes()
    print("A checkpoint of one experiment, evaluated with the config file of another.")
    effective = what_would_have_gone_wrong()
    where_values_come_from(effective)
    checked_against_the_tensors()
    on_purpose()
    migrating()
    heading(f"Nothing in {EXAMPLES.name}/ was changed: {DOCUMENT.read_bytes() == before}")
    print(f"digest of the architecture and computation fields: {effective.digest}")


if __name__ == "__main__":
    main()
