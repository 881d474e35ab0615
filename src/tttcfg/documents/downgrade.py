"""A document as another version has it: up by the operations, down only as far as it comes back."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from tttcfg.documents.document import Document, document_of
from tttcfg.documents.save import document_tree, framed, provenance_of, saved_body, sections_of
from tttcfg.errors import LossError, Place, Problem, quote
from tttcfg.family.extension import EXTENSIONS, Extension, path_of
from tttcfg.family.family import Family, frozen_schema
from tttcfg.family.plugged import plugged_fields
from tttcfg.family.versions import find_version
from tttcfg.formats.text import ParsedFile
from tttcfg.migration.chain import Chain, Identification
from tttcfg.migration.held import Within
from tttcfg.migration.operations import Withhold
from tttcfg.migration.record import Record, provenance_without_secrets
from tttcfg.migration.section_digests import add_missing, drop_matching, section_of
from tttcfg.schema.containment import accepts
from tttcfg.schema.fields import UNSET, plain, present
from tttcfg.schema.fragments import (
    Fragment,
    body_of,
    defaults,
    fields_inside,
    fragment_at,
    inside,
    is_section,
)
from tttcfg.schema.paths import (
    MISSING,
    Tree,
    copied,
    get_path,
    is_hollow,
    pop_path,
    prune,
    same,
    set_path,
    split,
    value_paths,
)
from tttcfg.schema.plugged import PLUGINS
from tttcfg.secrets import WITHHELD, looks_secret


def migrate_tree(
    values: Mapping[str, Any],
    family: Family,
    *,
    to: int | None = None,
    allow_loss: bool = False,
    path: str = "document",
) -> Tree:
    """Return a document as version `to` (the head) has it; `values` stays as it is.

    The result depends on nothing but the arguments. Upgrading to the head completes and validates; older versions get
    what their programs wrote: with a number and a record where the version has them, else without.

    Raises:
        LossError: The older version cannot hold a value, nothing would bring it back, and `allow_loss` is false.
        InputError: The document cannot be read.
    """
    tree, losses = migrate_whatever_is_lost(values, family, to=to, path=path)
    if not allow_loss:
        refuse_losses(losses, path)
    return tree


def refuse_losses(losses: Mapping[str, str], path: str) -> None:
    """Raise LossError where anything is lost of the document at `path`."""
    if losses:
        messages = {key: f"{reason}; --allow-loss drops it" for key, reason in losses.items()}
        raise LossError(Problem("loss", message, key, Place(path)) for key, message in messages.items())


def migrate_whatever_is_lost(
    values: Mapping[str, Any], family: Family, *, to: int | None = None, path: str = "document"
) -> tuple[Tree, dict[str, str]]:
    """Return a document as version `to` has it, as `migrate_tree` does, and why each value is lost that is, by path.

    Raises:
        InputError: The document cannot be read.
    """
    target = family.head if to is None else to
    found = find_version(ParsedFile(dict(values), {}, path), family)  # first: it may be a document of another family
    family.require_version(target, "to")
    if found.version <= target < family.head:
        return _part_of_the_way(values, found, family, target), {}
    document = document_of(values, family, path)
    if target == family.head:
        return document_tree(document), {}
    return _down(document, target)


def is_numbered(family: Family, version: int) -> bool:
    """Whether documents of a version carry its number: those that trainers wrote before they had tttcfg do not."""
    try:
        return "schema_version" in frozen_schema(family, version)["properties"]
    except OSError:
        return True


def _part_of_the_way(values: Mapping[str, Any], found: Identification, family: Family, target: int) -> Tree:
    """Return a document as a later version than its own has it that is not the head."""
    version, chain = found.version, _chain_to(family, target)
    provenance = values.get("provenance") or {}
    record = Record.from_saved(provenance)
    body: Tree = copied(body_of(values))
    if version < target:
        drop_matching(record, body)
        chain.run(body, version, record)
        add_missing(record, body, chain)
        decided_by = {"decided_by": list(found.decided_by)} if found.decided_by else {}
        provenance = {"migrated_from": version, **decided_by, **provenance}
    return _framed(body, family, target, provenance, record, values.get(EXTENSIONS))


def _framed(
    body: Tree, family: Family, version: int, provenance: Mapping[str, Any], record: Record, extensions: Any
) -> Tree:
    """Return a document's fields with the number of their version, where that version has such a thing."""
    if not is_numbered(family, version):
        return body
    kinds = {kind.name for kind in fields(Record)}
    kept = {key: value for key, value in provenance.items() if key not in kinds}
    whole = provenance_without_secrets({**kept, **record.saved()})
    return framed(body, family, version, extensions, whole)


@lru_cache(maxsize=64)
def _chain_to(family: Family, version: int) -> Chain:
    return Chain(family.chain.migrations[: version + 1])


def _down(document: Document, target: int) -> tuple[Tree, dict[str, str]]:
    """Return a document as version `target` has it, and why each value that it cannot hold is lost.

    Whatever the operations declare, the older document is upgraded again and compared: what would not come
    back as it is, is lost.
    """
    family, chain = document.family, _chain_to(document.family, target)
    values, record = saved_body(document.training, family), document.record.copy()
    drop_matching(record, values)
    losses = _stale(record, document, target)
    removed = {path: entry["value"] for path, entry in record.removed.items()}
    body, dropped = family.chain.down(values, target, record)
    for key, value in dropped:
        if value == WITHHELD:
            losses[key] = "is a secret that was never recorded"
        elif any(f"{path}.".startswith(f"{key}.") and not is_hollow(kept) for path, kept in removed.items()):
            losses[key] = f"version {target} cannot hold it, and later ones have it on record only"
    _fill(body, record, document, chain)
    _allowed(body, family, chain)
    add_missing(record, body, chain)
    without = _lost_extensions(document, target)
    older = _completed(body, document, record, target, without)
    losses |= without
    again = document_of({key: value for key, value in older.items() if key != EXTENSIONS}, family)
    for field in present(family.public_fields, document.training):
        came = field.get(again.training)
        if again.version != target or came != field.get(document.training):
            how = "not come back" if came is UNSET else f"come back as {quote(plain(came))}"
            losses[field.name] = f"version {target} cannot hold it: it would {how}"
    return older, losses


def _stale(record: Record, document: Document, target: int) -> dict[str, str]:
    """Take out of `record` the removed values whose part was edited since, and return why each is lost.

    Absence means the default of version `target`; a value that is equal to it is none that is lost.
    """
    family = document.family
    steps = family.chain.migrations[target + 1 :]
    undone = {one.path for step in steps for one in step.operations if not isinstance(one, Withhold)}
    within = tuple(f"{one.path}." for step in steps for one in step.operations if isinstance(one, Within))
    schema, template = family.chain.schema(target), family.chain.template(target)
    held = tuple(
        f"{one.name}."
        for one in plugged_fields(family)
        if one.variants is not None and one.get(document.training) in one.variants.plugins
    )
    losses = {}
    for path in sorted(path for path in record.removed if path in undone or path.startswith(within)):
        if path.startswith(held):
            continue  # of a plug-in's section, which stays in its newest version
        whole = path in document.record.section_digests and path not in record.section_digests
        part = section_of(path, family.chain)
        if whole or part is None or looks_secret(path):
            continue
        kept = record.removed.pop(path)["value"]
        record.section_digests.pop(path, None)
        fragment = fragment_at(schema, split(path))
        emptied = is_hollow(kept) and (fragment is None or is_section(fragment))  # its fields are elsewhere now
        if not (emptied or same(kept, get_path(template, split(path), MISSING))):
            edited = "was" if path in document.record.section_digests else "may have been"  # no digest is recorded
            losses[path] = f"was removed, and {part or 'the document'} {edited} edited since, so that it would be stale"
    return losses


def _fill(body: Tree, record: Record, document: Document, chain: Chain) -> None:
    """Fill in again what was filled on the way up and has since been removed: a record keeps no fills of those."""
    head, again = document.family.chain, Record()
    newest, older = head.schema(head.head), chain.schema(chain.head)
    filled = chain.up(chain.template(document.origin), document.origin, again) if document.origin < chain.head else {}
    for name, entry in again.filled.items():
        path = split(name)
        now = split(head.spellings.get(name, name))
        gone = fragment_at(newest, now) is None and fragment_at(older, path) is not None
        if gone and set_path(body, path, get_path(filled, path), over=False):
            record.filled[name] = entry
            if name in again.converted:
                record.converted[name] = again.converted[name]


def _allowed(body: Tree, family: Family, chain: Chain) -> None:
    """Put the default in the place of every value that the older version does not allow; comparing finds it.

    The section of a plug-in's variant stays as it is where the older version takes those as well.
    """
    fields = chain.fields(chain.head).items()
    own = {name: one for name, one in fields if not (PLUGINS in one and _is_plugged(body, name, family))}
    _allow(body, own, chain.template(chain.head))


def _is_plugged(body: Tree, name: str, family: Family) -> bool:
    """Whether a field of an older document holds a section of a plug-in's variant."""
    field, section = family.fields.get(family.chain.spellings.get(name, name)), get_path(body, split(name))
    if field is None or (variants := field.variants) is None or not isinstance(section, dict):
        return False
    return section.get(variants.key) in variants.plugins


def _allow(values: Tree, fields: Mapping[str, Fragment], template: Tree) -> None:
    for name, fragment in fields.items():
        path = split(name)
        value, default = get_path(values, path, MISSING), get_path(template, path, MISSING)
        if value is MISSING or accepts(fragment, value) is not False:
            continue
        held = copied(value)
        for one in inside(fragment):
            for _, item in one.sections("", held):
                _allow(
                    item,
                    {key.removeprefix(one.prefix("")): below for key, below in fields_inside("", one).items()},
                    defaults(one.section),
                )
        if accepts(fragment, held) is not False:
            set_path(values, path, held)
        elif default is MISSING:
            pop_path(values, path)  # the version's own model decides it
        else:
            set_path(values, path, copied(default))


def _completed(body: Tree, document: Document, record: Record, target: int, without: Container[str]) -> Tree:
    """Return the older document: without what the original did not have either, where that was of this version."""
    family = document.family
    later = ("migrated_from", "decided_by", "assumed") if document.origin >= target else ()
    provenance = {key: value for key, value in provenance_of(document).items() if key not in later}
    kept = {name: section for name, section in sections_of(document).items() if path_of(name)[:-1] not in without}
    whole = _framed(body, family, target, provenance, record, kept)
    stripped = _stripped(whole, document, target)
    if is_numbered(family, target) or family.chain.identify(stripped).version == target:
        return stripped
    return whole


def _lost_extensions(document: Document, target: int) -> dict[str, str]:
    """Return why sections of extensions do not go with a document to an older version."""
    named = {path_of(name)[:-1]: document.parts.get(name) for name in (*document.parts, *document.passed_through)}
    if named and not is_numbered(document.family, target):
        return dict.fromkeys(named, f"version {target} has no extensions")
    needs = {key: part.family.needs for key, part in named.items() if part and isinstance(part.family, Extension)}
    return {key: f"needs version {least} or later" for key, least in needs.items() if least > target}


def _stripped(older: Tree, document: Document, target: int) -> Tree:
    """Return `older` without what the original did not have either, where the original was of version `target`."""
    tree: Tree = copied(older)
    if document.origin != target or not document.assumed:
        return tree
    chain = document.family.chain
    template = chain.template(target)
    for path in value_paths(template):
        name = ".".join(path)
        is_default = same(get_path(tree, path, MISSING), get_path(template, path))
        if is_default and chain.spellings.get(name, name) in document.assumed:
            pop_path(tree, path)
            prune(tree, path)
    return tree
