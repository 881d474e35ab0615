"""Removing secrets from one file: everything else in it stays as it is, and so does what it means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tttcfg.documents.document import DOCUMENT_CAP, DOCUMENT_NAME, Document, parse_document
from tttcfg.documents.effective import whole_digest
from tttcfg.documents.replaced import why_no_configuration
from tttcfg.documents.secret_values import instead_of, scalars
from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.family import Family, schema_id
from tttcfg.family.versions import family_in_schema, refuse_other_family
from tttcfg.files.locks import TEMPORARY_SUFFIX, alone
from tttcfg.files.storage import read_bytes, write_atomically
from tttcfg.fleet.failures import problems_of
from tttcfg.fleet.scan import Wanted
from tttcfg.formats.endings import YAML_CAP, form_of, named_form, parse_file
from tttcfg.formats.json import read_json
from tttcfg.formats.json import written_values as written_json
from tttcfg.formats.text import ParsedFile, WrittenValue, decode, dotted
from tttcfg.migration.section_digests import section_digest
from tttcfg.resolving.families import family_named, named_family
from tttcfg.safetensors.header import read_header
from tttcfg.safetensors.metadata import rewrite
from tttcfg.schema.paths import Path, Tree
from tttcfg.secrets import WITHHELD, shown_key
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.verification.bindings import REPLACES
from tttcfg.verification.tags import EMBEDDED, TAG_KEY, tag_digest, tag_of

ENDING = ".safetensors"
_ARGUMENTS = ("args.yaml", "args.yml")
_BACKUP = ".bak"
_DIGITS = 7
"""More than the index of any item has."""
_LONG = 8
"""Characters from which a text that occurs a second time in a file is hardly there by chance."""

ScrubStatus = Literal["clean", "planned", "scrubbed", "failed"]


def is_searched(name: str) -> bool:
    """Whether a file of that name may hold a configuration: a saved one, a backup, a trainer's, or weights with one."""
    return name == DOCUMENT_NAME or name in _ARGUMENTS or name.endswith((ENDING, _BACKUP))


EVERYWHERE = Wanted(is_searched, lambda name: not name.endswith(TEMPORARY_SUFFIX))
"""What is looked for in folders; those that a crash of the trainer left behind hold secrets too."""


class Secret(NamedTuple):
    """One secret in a file: its key, its place, and what it becomes, `null` or `(withheld)`."""

    key: str
    place: Place
    becomes: str


class ScrubResult(NamedTuple):
    """What became of one file; `problems` are why it failed, or what is left to be done by hand."""

    path: str
    status: ScrubStatus
    secrets: tuple[Secret, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class ScrubTask:
    """What is to be done with every file.

    Attributes:
        keep: Dotted keys that are no secrets, although they look like some.
        family_name: The family of all of them; None for that which each names in its `$schema`, or the built-in one.
    """

    write: bool = False
    keep: Collection[str] = ()
    family_name: str | None = None


class _Scrubbed(NamedTuple):
    """A text without its secrets, what was in it, and what of them is still there."""

    text: str
    secrets: tuple[Secret, ...]
    problems: tuple[Problem, ...]


def scrub_file(path: str, task: ScrubTask) -> ScrubResult:
    """Remove the secrets of one file; one that cannot be scrubbed stays as it is, with the reason in the outcome."""
    try:
        with alone(os.path.dirname(os.path.realpath(path))) if task.write else nullcontext():
            return _of_weights(path, task) if path.endswith(ENDING) else _of_text(path, task)
    except Exception as error:
        return ScrubResult(path, "failed", problems=problems_of(error, path))


def scrub_found(path: str, task: ScrubTask) -> ScrubResult | None:
    """Remove the secrets of a file that a search came by; None for the backup of something else than a configuration.

    A configuration may have any name, and so has its backup: what has no name of one has to be one, with no key that no
    version has.
    """
    if path.endswith(_BACKUP) and not named_form(path) and not _is_configuration(path, task):
        return None
    return scrub_file(path, task)


def _is_configuration(path: str, task: ScrubTask) -> bool:
    """Whether a file holds a configuration; one that cannot be opened may."""
    try:
        text = decode(read_bytes(path, DOCUMENT_CAP), path)
        form = form_of(path, text)
        values = parse_file(text.encode(), f"{path}{form}").values
        family = _family_of(values.get("$schema"), task)
        return family is None or not why_no_configuration(values, family)
    except InputError as error:
        return error.problems[0].code == "unreadable"


def _of_text(path: str, task: ScrubTask) -> ScrubResult:
    raw = read_bytes(path, DOCUMENT_CAP)
    found = _of_file(decode(raw, path), path, task)
    if found.secrets and task.write:
        _refuse_hard_links(path)
        write_atomically(path, found.text.encode(), expected=raw)
    return _outcome(path, found, task)


def _outcome(path: str, found: _Scrubbed, task: ScrubTask) -> ScrubResult:
    status: ScrubStatus = "clean" if not found.secrets else "scrubbed" if task.write else "planned"
    return ScrubResult(path, status, found.secrets, found.problems)


def _family_of(schema: object, task: ScrubTask) -> Family | None:
    """Return the family that a `$schema` names, or else the built-in one; None where it cannot be had.

    Raises:
        InputError: The one that is given cannot be had.
    """
    if task.family_name:
        return family_named(task.family_name)
    try:
        return named_family({"$schema": schema}) if family_in_schema(schema) is not None else TTT_MOSHI
    except InputError:
        return None


def _of_file(text: str, path: str, task: ScrubTask) -> _Scrubbed:
    """Return a file without secrets, as the family of its document has them, or by keys alone."""
    form = form_of(path, text)
    if form == ".json":
        return _of_document(text, path, task)
    if form == ".toml":
        return _of_toml(text, path, task)
    if len(text) > YAML_CAP:
        message = f"has {len(text):,} characters; YAML may have {YAML_CAP:,}"
        raise InputError(Problem("too_large", message, place=Place(path)))
    from tttcfg.formats.yaml import parse_yaml, written_values  # the largest import, for the runs that find such files

    before = parse_yaml(text, path)
    if not isinstance(before.values, (dict, list, type(None))):
        raise InputError(Problem("rejected", "holds no settings, so that nothing can be said of it", place=Place(path)))
    family = _family_of(before.values.get("$schema") if isinstance(before.values, dict) else None, task)
    if family is not None and isinstance(before.values, dict):
        refuse_other_family(before, family)
    written = written_values(text, path)
    found = _replaced(text, path, written, task, family, _as_yaml)
    _check(written, written_values(found.text, path), path)
    return found


def _of_document(text: str, path: str, task: ScrubTask) -> _Scrubbed:
    """Return a JSON document without secrets, having seen that the rest of it means what it meant."""
    tree = read_json(text, path)
    family = _family_of(tree.values.get("$schema"), task)
    if family is not None:
        refuse_other_family(tree, family)
    written = written_json(text, path)
    found = _replaced(text, path, written, task, family, _as_json)
    _check(written, written_json(found.text, path), path)
    if found.secrets and family is not None:
        found = found._replace(text=_with_section_digests(text, found.text, path, family))
    return found


def _of_toml(text: str, path: str, task: ScrubTask) -> _Scrubbed:
    """Raise where a TOML file holds secrets: it is read only."""
    from tttcfg.formats.toml import read_toml  # for the runs that find such files

    tree: ParsedFile = read_toml(text, path)
    family = _family_of(tree.values.get("$schema"), task)
    advice = "remove it by hand, and renew it"
    problems = [
        Problem("secret", "is a secret, and TOML is not rewritten", dotted(one), tree.place(one), advice=advice)
        for one, value, before in scalars(tree.values, ())
        if _is_secret(one, value, before, task, family)
    ]
    if problems:
        raise InputError(problems)
    return _Scrubbed(text, (), ())


def _is_secret(path: Path, value: Any, before: object, task: ScrubTask, family: Family | None) -> bool:
    return ".".join(path) not in task.keep and instead_of(path, value, family, before) is not value


def _replaced(
    text: str,
    path: str,
    written: list[WrittenValue],
    task: ScrubTask,
    family: Family | None,
    as_text: Callable[[str, Any], str],
    below: Path = (),
) -> _Scrubbed:
    """Return a text with every secret replaced, and nothing else; `below` is where a document begins in it.

    What the alias of a secret stands for is one as well.
    """
    own = {one.path[len(below) :]: one for one in written if one.path[: len(below)] == below}
    before = {key: _before(key, own) for key in own}
    hidden = {key for key, one in own.items() if one.alias and _is_secret(key, "alias", before[key], task, family)}
    shared = [own[key].alias or () for key in hidden]
    parts, end, secrets, removed = [], 0, [], []
    for key, one in own.items():
        new = one.value if ".".join(key) in task.keep or one.alias else instead_of(key, one.value, family, before[key])
        if any(one.path[: len(start)] == start for start in shared) and isinstance(one.value, str):
            new = instead_of(("secret",), one.value, None) if new is not None else new
        if key in hidden:
            new = instead_of(key, "alias", family, before[key])
        if new is one.value:
            continue
        parts += [text[end : one.start], as_text(text[one.start : one.end], new)]
        end = one.end
        secrets.append(Secret(shown_key(dotted(key)), one.place, "null" if new is None else new))
        removed.append(str(one.value))
    result = "".join([*parts, text[end:]])
    return _Scrubbed(result, tuple(secrets), tuple(_left_over(result, path, removed)))


def _before(key: Path, own: Mapping[Path, WrittenValue]) -> object:
    """Return what is before an item of a list; None where there is nothing, or more than one value."""
    is_item = key != () and key[-1].isdecimal() and len(key[-1]) < _DIGITS
    earlier = own.get((*key[:-1], str(int(key[-1]) - 1))) if is_item else None
    return earlier.value if earlier is not None else None


def _left_over(text: str, path: str, removed: list[str]) -> Iterator[Problem]:
    """Yield every text that was removed and is in the file in another place too, such as a comment."""
    for value in dict.fromkeys(one for one in removed if len(one) >= _LONG):
        index = text.find(value)
        if index >= 0:
            place = Place(path, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
            message = "a secret that is removed elsewhere is here too, and not as its own value"
            yield Problem("secret", message, place=place, advice="remove it by hand")


def _as_json(_: str, new: Any) -> str:
    return "null" if new is None else f'"{new}"'


def _as_yaml(old: str, new: Any) -> str:
    """Return how a value is written in the place of another one, whose anchor, comment and last line breaks stay."""
    anchor = re.match(r"(?:&\S+\s+)?", old)
    start = anchor[0] if anchor else ""
    comment = re.match(r"[|>][-+0-9]*([ \t]+#[^\n]*)?", old[len(start) :])
    breaks = old[len(old.rstrip("\n")) :]
    return f"{start}{'null' if new is None else new}{(comment[1] or '') if comment else ''}{breaks}"


def _check(before: list[WrittenValue], after: list[WrittenValue], path: str) -> None:
    """Raise where anything else than secrets would differ."""
    if len(before) == len(after) and all(
        one.path == other.path and (one.value == other.value or other.value in (None, WITHHELD) or one.alias)
        for one, other in zip(before, after, strict=True)
    ):
        return
    message = "would not be read back as it was; this is a bug of tttcfg"
    raise InputError(Problem("rejected", message, place=Place(path)))


def _with_section_digests(before: str, after: str, path: str, family: Family) -> str:
    """Return a document without secrets, in which the digests of sections are those of what is there now.

    Raises:
        InputError: Without what looked like a secret it would be another configuration, or none.
    """
    try:
        old = parse_document(before.encode(), family, path)
    except InputError:
        return after  # it is no document as it is, of which nothing can be said
    new = parse_document(after.encode(), family, path)
    if whole_digest(old.training, family, old.parts) != whole_digest(new.training, family, new.parts):
        message = "what looks like a secret is part of a setting that defines the model"
        raise InputError(Problem("secret", message, place=Place(path), advice="name it with --keep KEY"))
    for one, other in ((old, new), *((part, new.parts[name]) for name, part in old.parts.items())):
        for was, now in _changed_digests(one, other):
            after = after.replace(f'"{was}"', f'"{now}"')
    return after


def _changed_digests(old: Document, new: Document) -> Iterator[tuple[str, str]]:
    recorded = old.provenance.get("section_digests")
    values: list[Tree] = [one.training.model_dump(mode="json") for one in (old, new)]
    for was, sections in recorded.items() if isinstance(recorded, dict) else ():
        for section in set(sections.values()) if isinstance(sections, dict) else ():
            if isinstance(section, str) and section_digest(values[0], section) == was:
                yield was, section_digest(values[1], section)


def _of_weights(path: str, task: ScrubTask) -> ScrubResult:
    """Remove the secrets of a configuration that is embedded in weights; the digest that binds them stays."""
    metadata = read_header(path).metadata
    tag = tag_of(metadata)
    if tag is None or not isinstance(tag.get(EMBEDDED), dict):
        return ScrubResult(path, "clean")
    place = f"{path} (embedded)"
    found = _of_tag(metadata[TAG_KEY], place, task)
    if found.secrets and task.write:
        _refuse_hard_links(path)
        _refuse_interrupted(path, tag_digest(metadata))
        rewrite(path, {**metadata, TAG_KEY: found.text})
    return _outcome(path, found, task)


def _of_tag(text: str, place: str, task: ScrubTask) -> _Scrubbed:
    tree, written = read_json(text, place), written_json(text, place)
    named = tree.values.get("family")
    schema = {"$schema": schema_id(named, 0)} if isinstance(named, str) else {}
    family = _family_of(schema.get("$schema"), task)
    if family is not None:
        refuse_other_family(ParsedFile(schema, {}, place), family)
    inside = _replaced(text, place, written, task, family, _as_json, (EMBEDDED,))
    again = written_json(inside.text, place)
    beside = [one for one in again if one.path[:1] == ("provenance",)]
    both = _replaced(inside.text, place, beside, task, family, _as_json)
    _check(written, written_json(both.text, place), place)
    return _Scrubbed(both.text, inside.secrets + both.secrets, both.problems)


def _refuse_hard_links(path: str) -> None:
    links = os.stat(path).st_nlink
    if links > 1:
        message = f"has {links} names (hard links), and the others would keep what is removed here"
        raise InputError(Problem("unwritable", message, place=Place(path), advice="remove the others, then run again"))


def _refuse_interrupted(path: str, tag: str | None) -> None:
    """Raise where a document says that binding these weights was interrupted: it names the tag that they have."""
    document = os.path.join(os.path.dirname(path), DOCUMENT_NAME)
    if tag is None or not os.path.lexists(document):
        return
    text = read_bytes(document, DOCUMENT_CAP)
    if f'"{REPLACES}"'.encode() in text and tag.encode() in text:
        message, advice = "is bound only half: that was interrupted", "complete it first: tttcfg.bind(path)"
        raise InputError(Problem("binding", message, place=Place(path), advice=advice))
