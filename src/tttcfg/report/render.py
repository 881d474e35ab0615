"""From structure to what people read: YAML with a header, tables, differences. Nothing else makes such text."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.documents.differences import Difference
from tttcfg.documents.document import Document
from tttcfg.documents.effective import Effective, Origin, Verification
from tttcfg.errors import InputError, Problem, nearest_key, printable
from tttcfg.family.extension import EXTENSIONS, all_fields
from tttcfg.family.family import Family
from tttcfg.family.plugged import spellings_of
from tttcfg.schema.fields import UNSET, ConfigField, Role, plain
from tttcfg.schema.paths import MISSING

if TYPE_CHECKING:
    from tttcfg.fleet.plan import DocumentChange

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_SEVERITY_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}
_SIGNS = {
    "added": ("+", "green"),
    "renamed": ("~", "yellow"),
    "converted": ("~", "yellow"),
    "removed": ("-", "red"),
    "doubted": ("?", "cyan"),
    "lost": ("!", "red"),
}
_VERDICTS = (("contradicted", "red"), ("verified", "green"), ("supported", "cyan"), ("not_determined", "dim"))
_SUPPORTED = "supported by the gradient"
_GROUPED = ("unconfirmed", "doubt", "assumed", "not_determined")
_COUNTED = ("renamed", "removed")
_FEW = 4
"""Up to so many settings that the checkpoint overrides are listed with both values."""
WIDEST_VALUE = 60
_BARE = re.compile(r"(\.{0,2}/)?[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


class Ink(NamedTuple):
    """Colours text where the reader is a terminal, and leaves it alone elsewhere."""

    on: bool

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.on and style and text else text


def value_text(value: Any, widest: int = WIDEST_VALUE) -> str:
    """Return a value on one line, as YAML or JSON would have it, clipped."""
    value = plain(value)
    bare = isinstance(value, str) and value.isprintable() and value
    text = value if bare else json.dumps(value, ensure_ascii=True)
    return printable(text if len(text) <= widest else text[: widest - 1] + "…")


def value_pair(one: Any, other: Any) -> tuple[str, str]:
    """Return two values that differ on one line each; where they are too long, from shortly before their difference."""
    whole = [value_text(value, sys.maxsize) for value in (one, other)]
    if max(map(len, whole)) <= WIDEST_VALUE:
        return whole[0], whole[1]
    differing = (at for at, (left, right) in enumerate(zip(*whole, strict=False)) if left != right)
    start = max(0, next(differing, min(map(len, whole))) - WIDEST_VALUE // 3)
    blank = whole[0].rfind(" ", max(0, start - WIDEST_VALUE // 3), start)
    start = blank + 1 if blank >= 0 else start
    left = [f"…{text[start:]}" if start else text for text in whole]
    clipped = [text if len(text) <= WIDEST_VALUE else text[: WIDEST_VALUE - 1] + "…" for text in left]
    return clipped[0], clipped[1]


def table(rows: Iterable[Sequence[str]], ink: Ink, styles: Sequence[str] = ()) -> str:
    """Return rows in aligned columns; the last column may be as long as it likes."""
    rows = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    text = ""
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        text += "  ".join(ink(style, cell) for cell, style in zip_longest(cells, styles, fillvalue="")).rstrip() + "\n"
    return text


def findings_text(findings: Iterable[Problem], ink: Ink) -> str:
    """Return findings line by line; those that differ in their key alone, and many of one kind, share a line."""
    groups: dict[tuple[str, str, str], list[Problem]] = {}
    for finding in findings:
        common = f"{finding.message}; {finding.advice}".removesuffix("; ") if finding.code in _GROUPED else ""
        groups.setdefault((finding.severity, finding.code, common), []).append(finding)
    lines: list[str] = []
    for (severity, code, common), group in groups.items():
        if (severity, code) == ("info", "restored") and len(group) > _FEW:
            keys = ", ".join(one.key for one in group)
            many = f"{len(group)} settings are the checkpoint's, not the configuration file's: {keys}"
            lines.append(printable(f"{severity} [{code}] {many} (--explain KEY shows both values)"))
            continue
        if len(group) == 1 or (code not in _COUNTED and not common):
            lines += [one.labelled() for one in group]
            continue
        keys = ", ".join(one.key for one in (group if common else group[:3]))
        keys += ", …" * (not common and len(group) > 3)
        rest = f": {common}" if common else f" ({len(group)} settings; all of them with --output json)"
        lines.append(printable(f"{severity} [{code}] {keys}{rest}"))
    labelled = (line.split(" ", 1) for line in lines)
    return "".join(f"{ink(_SEVERITY_STYLES[severity], severity)} {rest}\n" for severity, rest in labelled)


def plan_text(changes: Iterable[DocumentChange], ink: Ink) -> str:
    """Return what a migration changes, under the reason of each change."""
    groups: dict[str, list[DocumentChange]] = {}
    for change in changes:
        groups.setdefault(change.reason, []).append(change)
    text, styles = "", dict(_SIGNS.values())
    for reason, group in groups.items():
        text += f"  {printable(reason)}\n"
        nulls = [change for change in group if change.kind == "added" and change.value is None]
        rows = [_change_row(change) for change in group if len(nulls) == 1 or change not in nulls]
        if len(nulls) > 1:
            rows.append((f"    + {nulls[0].key} and {len(nulls) - 1} more", "null"))
        lines = table(rows, Ink(False)).splitlines()
        text += "".join(f"{ink(styles[line.strip()[0]], line)}\n" for line in lines)
    return text


def _change_row(change: DocumentChange) -> tuple[str, str]:
    key = f"    {_SIGNS[change.kind][0]} {change.key}"
    if change.kind == "renamed":
        return key, f"-> {change.new}"
    what = value_text(change.value)
    return key, f"{what} -> {value_text(change.new)}" if change.kind == "converted" else what


def yaml_text(tree: Mapping[str, Any], *, ascii_only: bool = False, indent: str = "") -> str:
    """Return a configuration as YAML that reads back equal, with readers of YAML 1.1 as well.

    Written here and not by ruamel.yaml, whose emitter costs a fifteenth of the whole command.
    """
    text, is_plain = "", str.isascii if ascii_only else str.isprintable
    for key, value in tree.items():
        name = indent + _yaml_value(key, is_plain)
        if isinstance(value, Mapping) and value:
            text += f"{name}:\n{yaml_text(value, ascii_only=ascii_only, indent=indent + '  ')}"
        else:
            text += f"{name}: {_yaml_value(value, is_plain)}\n"
    return text


def _yaml_value(value: Any, is_plain: Callable[[str], bool]) -> str:
    """Return a value as JSON, which is YAML, without quotes around text that cannot be taken for anything else."""
    if isinstance(value, str) and _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = _flow_text(value)
    return "".join(one if is_plain(one) and one != "\x7f" else f"\\U{ord(one):08x}" for one in text)


def _flow_text(value: Any) -> str:
    """Return a value as JSON whose numbers are numbers in YAML 1.1 too, which takes 3e-05 for text."""
    if isinstance(value, float):
        text = json.dumps(value)
        return text if "." in text else text.replace("e", ".0e")
    if isinstance(value, list):
        return f"[{', '.join(map(_flow_text, value))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {_flow_text(one)}" for key, one in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)


def effective_yaml(effective: Effective, header: Sequence[str], *, ascii_only: bool = False) -> str:
    """Return the effective configuration as a YAML file with its digest, findings and layer settings as comments."""
    lines = [*header, f"digest: {effective.digest}"]
    shown = [finding for finding in effective.findings if finding.severity != "info"]
    lines += findings_text(shown, Ink(False)).splitlines()
    if effective.ttt is not None:
        lines.append("the TTT layers read:")
        lines += [f"  {name}: {value_text(value)}" for name, value in effective.ttt.model_dump(mode="json").items()]
    comments = "".join(f"# {printable(part)}\n" for line in lines for part in line.split("\n"))
    return comments + yaml_text(settings_of(effective), ascii_only=ascii_only)


def settings_of(configuration: Effective | Document) -> dict[str, Any]:
    """Return all settings as plain values, those of extensions in their sections; secrets are not among them."""
    settings: dict[str, Any] = configuration.training.model_dump(mode="json", warnings=False)
    parts = {name: part.training.model_dump(mode="json", warnings=False) for name, part in configuration.parts.items()}
    return {**settings, EXTENSIONS: parts} if parts else settings


def effective_json(effective: Effective, family: Family) -> dict[str, Any]:
    """Return the documented object of `resolve --output json`; of a contradicted result, the reasons."""
    usable = not effective.is_contradicted
    return {
        "schema_version": family.head,
        "training": effective.training.model_dump(mode="json", warnings=False) if usable else None,
        **({EXTENSIONS: settings_of(effective)[EXTENSIONS]} if usable and effective.parts else {}),
        "ttt": effective.ttt.model_dump(mode="json", warnings=False) if usable and effective.ttt is not None else None,
        "origins": {
            name: [{"source": one.source, "value": plain(one.value), "where": one.where} for one in origins]
            for name, origins in effective.shown_origins.items()
        },
        "findings": [finding.as_json() for finding in effective.findings],
        "digest": effective.digest if usable else None,
    }


def origins_table(origins: Mapping[str, tuple[Origin, ...]], ink: Ink) -> str:
    """Return one row per field: its value, the source that is used, and the place in it."""
    rows = [(name, value_text(given[0].value), given[0].source, given[0].where) for name, given in origins.items()]
    return table([("KEY", "VALUE", "SOURCE", "WHERE"), *rows], ink, ("cyan", "bold"))


def explanation(effective: Effective, names: Iterable[str], ink: Ink) -> str:
    """Return for each field its meaning, its value, and every source that gave one, the one that is used first."""
    text, fields = "", all_fields(effective.family)
    for name in names:
        origins, field = effective.origins[name], fields.get(name)
        text += f"{ink('bold', name)} = {value_text(origins[0].value, 2000)}\n"
        if field is not None:
            text += f"  {field.description}\n  role {field.role.value}, unit {field.unit}\n"
        rows = [
            ("  overridden" if rank else "  used", one.source, value_text(one.value), one.where)
            for rank, one in enumerate(origins)
        ]
        text += table(rows, ink, ("green",))
    return text


def fields_named(effective: Effective, key: str) -> list[str]:
    """Return the fields that `key` names: a field, those of a section, or the current field of an old name.

    Raises:
        InputError: No setting has this name, or its value is not known or not shown.
    """
    family = effective.family
    derived = family.layers.model_fields if family.layers is not None else {}
    if key not in effective.origins and key.startswith("ttt.") and key.removeprefix("ttt.") in derived:
        reasons = [one.sentence for one in effective.findings if one.code in ("model_config", "contradiction")]
        raise InputError(Problem("model_config", "; ".join(reasons) or "is not derived: TTT is off", key))
    field = all_fields(family).get(key)
    if field is not None and field.role is Role.SECRET:
        raise InputError(Problem("unknown_key", "is a secret, and is never shown", key))
    if field is not None and field.declared and key not in effective.origins:
        holder = key.removesuffix(field.name) + next(reversed(field.around))
        having = dict.fromkeys(one.variant for one in field.declared)
        held = effective.origins[holder][0].value if holder in effective.origins else "not there"
        message = f"is a setting of {' and '.join(having)}, and {holder} is {held}"
        raise InputError(Problem("unknown_key", message, key))
    return names_at(key, effective.origins, family)


def names_at(key: str, known: Collection[str], family: Family) -> list[str]:
    """Return which of the `known` fields a key names: a field, those of a section, or the current field of an old name.

    Raises:
        InputError: No setting has this name, or has it any more.
    """
    if found := [name for name in known if name == key or name.startswith(f"{key}.")]:
        return found
    spellings = spellings_of(family)
    now = spellings.get(key)
    if inside := [new for old, new in spellings.items() if old.startswith(f"{key}.")]:
        moved = [name for name in known if name in inside]
        if moved:
            return moved
        now = ""
    if now is None:
        suggestion = nearest_key(key, list(known))
        raise InputError(Problem("unknown_key", "no setting has this name", key, suggestion=suggestion))
    if now not in known:
        raise InputError(Problem("unknown_key", "no longer exists: nothing used it", key))
    return [now]


def differences_text(differences: Iterable[Difference], ink: Ink) -> str:
    """Return differences under their roles; they come by role, the gravest first."""
    text = ""
    for role, group in groupby(differences, key=lambda one: one.role.value):
        rows = [("  " + one.key, value_text(one.left), "->", value_text(one.right)) for one in group]
        text += ink("bold", role) + "\n" + table(rows, ink, ("cyan", "red", "", "green"))
    return text


def default_text(field: ConfigField) -> str:
    """Return a field's default, or what it follows from; that there is none; of variants each that has another one."""
    if field.declared:
        return "; ".join(f"{one.variant}: {_default_text(one.default)}" for one in field.declared)
    if field.default is UNSET:
        return "none: a value has to be given"
    return str(field.follows) if field.follows is not None else value_text(field.default)


def _default_text(default: Any) -> str:
    return "required" if default is UNSET else value_text(default)


def field_text(field: ConfigField, history: Sequence[str], ink: Ink) -> str:
    """Return what one field is: its description, role, unit, default and history."""
    rows = [
        ("  role", field.role.value),
        ("  unit", field.unit),
        ("  default", default_text(field)),
        *(("  history" if not index else "", line) for index, line in enumerate(history)),
    ]
    return f"{ink('bold', field.name)}\n  {field.description}\n" + table(rows, ink, ("dim",))


def verification_json(verification: Verification, effective: Effective) -> dict[str, Any]:
    """Return the documented object of `inspect` and `verify --output json`, with all findings on the result."""
    return {
        "dialect": verification.dialect,
        "proved": dict(verification.proved),
        "verdicts": {name: one.outcome for name, one in verification.verdicts.items()},
        "binding": verification.binding,
        "findings": [finding.as_json() for finding in effective.findings],
    }


def verification_text(verification: Verification, ink: Ink) -> str:
    """Return the verdicts: how many fields are verified, and those that are not, with the reason of each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, one in verification.verdicts.items():
        groups.setdefault((one.outcome, "" if one.outcome == "contradicted" else one.shown), []).append(name)
    text = f"{weights_line(verification)}\n"
    for verdict, style in _VERDICTS:
        for (kind, reason), names in groups.items():
            if kind == verdict:
                why = f" ({reason})" if reason else ""
                label = _SUPPORTED if verdict == "supported" else verdict
                text += f"{ink(style, label)} {printable(', '.join(names) + why)}\n"
    return f"{text}{verification.binding}: {printable(verification.binding_reason)}\n"


def weights_line(verification: Verification) -> str:
    """Return in one line what was read: the file, how many tensors, whose names, and what is in it."""
    header, evidence = verification.weights.header, verification.weights.evidence
    title = f"names of {evidence.dialect.title}" if evidence.dialect else "unknown names"
    content = "the whole model" if evidence.whole else "adapters only"
    dtype = f"stored as {evidence.dtype.value}" if evidence.dtype else "stored in several types"
    content = content if evidence.dialect else "unread"
    return printable(f"{header.name}: {len(header):,} tensors, {title}, {content}, {dtype}")


def inspection_text(verification: Verification, family: Family, ink: Ink) -> str:
    """Return the values in tensors, config.json and the saved configuration, field by field, and whether they agree."""
    proved, model, document = verification.weights.proved, verification.model, verification.document
    shaping = (one.name for one in family.model_defining_fields if one.role is Role.ARCHITECTURE)
    rows = [("KEY", "TENSORS", "CONFIG.JSON", "DOCUMENT", "AGREE", "SHOWN BY")]
    for name in dict.fromkeys((*proved, *model, *(name for name in shaping if name in document))):
        values = [one.get(name, MISSING) for one in (verification.proved, model, document)]
        verdict = verification.verdicts.get(name)
        outcome = verdict.outcome if verdict is not None else ""
        why = verdict.shown if verdict is not None else "not determined by the tensors"
        agree = _agreement(outcome, [one for one in values if one is not MISSING])
        tensors, configured, saved = ("-" if one is MISSING else value_text(one) for one in values)
        shown = proved[name].tensor if name in proved else f"- ({why})"
        rows.append((name, tensors, configured, saved, agree, shown))
    binding = f"{verification.binding}: {printable(verification.binding_reason)}"
    return f"{weights_line(verification)}\n{table(rows, ink, ('cyan', 'bold'))}{binding}\n"


def _agreement(outcome: str, values: Sequence[Any]) -> str:
    """Return whether all values of a field agree; a verified one may be written in another form."""
    if outcome == "contradicted":
        return "no"
    if len(values) < 2:
        return "-"
    return "yes" if outcome == "verified" or all(one == values[0] for one in values) else "no"
