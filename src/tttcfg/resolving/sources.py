"""Reading everything that was given, and raising the problems of all of it at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tttcfg.documents.checkpoint import (
    Checkpoint,
    opened_checkpoint,
    read_model_config,
    replaced_too_fast,
    weight_names,
    with_weights_of,
)
from tttcfg.documents.document import DOCUMENT_CAP, Document, parse_document
from tttcfg.documents.effective import Weights
from tttcfg.errors import InputError, Problem, Problems
from tttcfg.family.extension import Extension, all_fields
from tttcfg.family.family import Family
from tttcfg.files.open_folder import is_in_place, is_open
from tttcfg.files.storage import read_bytes
from tttcfg.formats.endings import read_file
from tttcfg.formats.text import ParsedFile
from tttcfg.resolving.config import Given, given, merged, tree_of
from tttcfg.resolving.families import named_family, named_in_bytes, of_second
from tttcfg.resolving.overrides import CommandLine, Overrides, Overriding, read_overrides
from tttcfg.resolving.variants import Held, usual_variants
from tttcfg.schema.defining import MODEL_DEFINING
from tttcfg.schema.fields import Section
from tttcfg.ttt_moshi.family import TTT_MOSHI
from tttcfg.urls import address

if TYPE_CHECKING:
    from tttcfg.safetensors.header import Header

Config = str | os.PathLike[str] | Mapping[str, Any] | Given
NOTHING = Given({}, {})
_REFUSED_VALUES = ("rejected", "not_finite", "too_large", "encoding")
_ATTEMPTS = 10
"""How often a checkpoint is read that is bound anew at the same time."""


class Sources(NamedTuple):
    """Everything that was given, each source read as of one family, migrated and validated alone."""

    family: Family
    overrides: Overrides
    checkpoint: Checkpoint | None
    document: Document | None
    config: Given
    model: Mapping[str, Any] | None
    model_name: str
    own_model: Mapping[str, Any] | None = None
    weights: Weights | None = None

    def part(self, extension: Extension) -> Sources:
        """Return the sources of an extension; problems of the checkpoint itself are reported with the family."""
        checkpoint = None if self.checkpoint is None else self.checkpoint._replace(unread=(), passed_over=())
        document = None if self.document is None else self.document.part(extension)
        name = extension.name
        overrides, config = self.overrides.parts.get(name, Overrides()), self.config.parts.get(name, NOTHING)
        return Sources(extension, overrides, checkpoint, document, config, None, "")


def read_sources(
    family: Family | None,
    checkpoint: str | os.PathLike[str] | None,
    config: Config | Iterable[Config] | None,
    overrides: Overriding | CommandLine,
    model_config: str | os.PathLike[str] | None,
    *,
    restoring: bool = True,
) -> Sources:
    """Read every source, or raise one InputError with the problems of all of them.

    What is read of a checkpoint is of one save, whatever takes its place meanwhile.

    Args:
        family: Whose they are; by default the family that the checkpoint's document names, be it beside the weights or
            embedded in them, or that the first file does which names one, or else the built-in one.
        restoring: Whether the checkpoint's saved configuration is used.
    """
    with contextlib.ExitStack() as stack:
        return _read(stack, family, checkpoint, config, overrides, model_config, restoring)


def _read(
    stack: contextlib.ExitStack,
    chosen: Family | None,
    checkpoint: str | os.PathLike[str] | None,
    config: Config | Iterable[Config] | None,
    overrides: Overriding | CommandLine,
    model_config: str | os.PathLike[str] | None,
    restoring: bool,
) -> Sources:
    listed, problems = _listed(config), Problems()
    files = [_parsed(one) for one in listed]
    named = chosen or next((one for one in map(_family_of, files) if one is not None), None)
    saved = _Raw() if checkpoint is None else _read_checkpoint(stack, checkpoint, chosen, named, problems)
    found, header = saved.checkpoint, saved.header
    of_any = saved.family or named
    family = of_any or TTT_MOSHI
    of_overrides, document, weights = Problems(), None, None
    overriding = of_overrides.attempt(read_overrides, overrides, family)
    if found is not None and saved.data is not None:
        overridden = set(overriding.names) if overriding else set()
        document = problems.attempt(_saved, saved.data, found.document, family, overridden, restoring)
    if found is not None and header is not None:
        from tttcfg.verification.verify import weights_in  # and what reads tensors: only weights need it

        weights = problems.attempt(weights_in, header, family, found.weights)
    configs = _givens(files, listed, family, problems)
    problems += of_overrides
    model_file = address(model_config) if model_config is not None else found.model_config if found else None
    model = problems.attempt(read_model_config, model_file) if model_file is not None else None
    replaced = found.model_config if found and model_config is not None else None
    own_model = problems.attempt(read_model_config, replaced) if replaced is not None else None
    if saved.embedded is not None:
        from tttcfg.verification.tags import embedded_in

        document = problems.attempt(embedded_in, saved.embedded, header, family)
    if problems:
        raise InputError(problems if chosen is not None or of_any is None else map(of_second, problems))
    given = merged(configs) if configs else NOTHING
    return Sources(
        family, overriding, found, document, given, model, str(model_file or ""), own_model=own_model, weights=weights
    )


class _Raw(NamedTuple):
    """What is read of a checkpoint, and not understood yet.

    Attributes:
        data: The bytes of its document.
        header: The header of its weights.
        embedded: The bytes of the document that is embedded in them, where there is none beside them.
        family: That which a document names.
    """

    checkpoint: Checkpoint | None = None
    data: bytes | None = None
    header: Header | None = None
    embedded: bytes | None = None
    family: Family | None = None


def _read_checkpoint(
    stack: contextlib.ExitStack,
    path: str | os.PathLike[str],
    chosen: Family | None,
    named: Family | None,
    problems: Problems,
) -> _Raw:
    """Read a checkpoint's files, which belong to one save.

    Args:
        named: The family that is chosen, or that a file names.
    """
    for _ in range(_ATTEMPTS):
        stack.close()
        problems.clear()
        header = None
        found = problems.attempt(stack.enter_context, opened_checkpoint(path, weight_names(named or TTT_MOSHI)))
        if found is None:
            return _Raw()
        data = problems.attempt(read_bytes, found.document, DOCUMENT_CAP) if found.document is not None else None
        family = chosen or named_in_bytes(data or b"")
        if family not in (None, named):
            found = with_weights_of(found, path, family)
        own = family or named or TTT_MOSHI
        if found.weights:
            from tttcfg.family.weights import read_as  # and what reads tensors: only weights need it

            header = problems.attempt(read_as, own, found.weights[0])
        if found.document is None or is_in_place(found.document) or is_open(address(path)):
            break
    else:  # a document that was replaced meanwhile and the weights may not belong together
        raise InputError(replaced_too_fast(path))
    if header is None or found.document is not None:
        return _Raw(found, data, header, None, family)
    from tttcfg.verification.tags import embedded_bytes

    embedded = embedded_bytes(header, own)
    family = chosen or named_in_bytes(embedded or b"")
    return _Raw(found, data, header, embedded, family)


def _saved(data: bytes, path: str, family: Family, overridden: Collection[str], restoring: bool) -> Document:
    """Read a checkpoint's configuration, skipping refused values that define nothing and are not used."""
    try:
        return parse_document(data, family, path)
    except InputError as error:
        refused = error.problems
    left: list[Problem] = []
    past: set[str] = set()
    for one in refused:
        fields = _harmless(one.key, family) if one.code in _REFUSED_VALUES else set()
        if fields and (not restoring or fields.issubset(overridden)):
            past |= {one.key, *fields}
        elif fields:
            what = one.key if len(fields) == 1 else f"all of {one.key}"
            advice = f"override {what} to go on, or leave the saved configuration out with --restore none"
            left.append(one._replace(advice=advice))
        else:
            left.append(one)
    if left:
        raise InputError(left)
    return parse_document(data, family, path, past)


def _harmless(key: str, family: Family) -> set[str]:
    """Return the fields that a value at `key` is of, or those below it, if none of them is model-defining."""
    fields, key = all_fields(family), family.chain.spellings.get(key, key)
    while key:
        found = {name for name in fields if name == key or name.startswith(f"{key}.")}
        if found:
            return found if all(fields[name].role not in MODEL_DEFINING for name in found) else set()
        key = key.rpartition(".")[0]  # an item of a list
    return set()


def _listed(config: Config | Iterable[Config] | None) -> list[Config]:
    if config is None:
        return []
    one = isinstance(config, (str, os.PathLike, Mapping, Given, Section)) or not isinstance(config, Iterable)
    return [config] if one else list(config)  # type: ignore[list-item, arg-type]


def _parsed(config: Config) -> ParsedFile | Given | InputError:
    """Return what a source is, as far as that depends on no family."""
    try:
        if isinstance(config, Given):
            return config
        if isinstance(config, (str, os.PathLike)):
            return read_file(config)
        if isinstance(config, Mapping):
            return tree_of(config, "config")
    except InputError as error:
        return error
    message, advice = f"is a {type(config).__name__}, not a file or a mapping", "give what tttcfg.to_dict makes of it"
    return InputError(Problem("rejected", message, "config", advice=advice))


def _family_of(source: ParsedFile | Given | InputError) -> Family | None:
    return named_family(source.values) if isinstance(source, ParsedFile) else None


def _givens(
    files: Sequence[ParsedFile | Given | InputError], listed: Sequence[Config], family: Family, problems: Problems
) -> list[Given]:
    """Read configuration files one after the other: a section of variants that states none is of the one before."""
    held, found = usual_variants(family), list[Given]()
    for one, own in zip(files, listed, strict=True):
        given = problems.attempt(_given, one, family, own, held)
        if given is not None:
            found.append(given)
            held |= given.variants
    return found


def _given(source: ParsedFile | Given | InputError, family: Family, config: Config, held: Held) -> Given:
    if isinstance(source, InputError):
        if isinstance(config, (str, os.PathLike)) and {one.code for one in source.problems} == {"too_large"}:
            return given(read_file(config, family.configuration_cap), family, held)  # of which larger ones are read
        raise source
    return given(source, family, held) if isinstance(source, ParsedFile) else source
