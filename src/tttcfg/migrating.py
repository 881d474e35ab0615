"""A document as another version has it: up by the operations, down only as far as it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tttcfg.document import Document, document_of
from tttcfg.errors import InputError, LossError, Place, Problem, quote
from tttcfg.family import Family
from tttcfg.fields import dig, plain
from tttcfg.record import MISSING, WITHHELD, Record, Tree, copied, leaf_paths, prune, same, take
from tttcfg.saving import document_tree
from tttcfg.sources.text import Tree as SourceTree
from tttcfg.versions import RESERVED, find_version


def migrate_tree(
    values: Mapping[str, Any],
    family: Family,
    *,
    to: int | None = None,
    allow_loss: bool = False,
    path: str = "document",
) -> Tree:
    """Return a document as version `to` (the head) has it; `values` stays as it is.

    The result depends on nothing but the arguments. Upgrading to the head completes and validates;
    older versions get what their programs wrote, without a number.

    Raises:
        LossError: The older version cannot hold a value, nothing would bring it back, and `allow_loss` is false.
        InputError: The document cannot be read.
    """
    target = family.head if to is None else to
    if not 0 <= target <= family.head:
        raise InputError(Problem("version", f"there is no version {target}; versions go from 0 to {family.head}", "to"))
    version, _ = find_version(values, family, path, SourceTree(dict(values), {}, path))
    if version <= target < family.head:
        body = {key: value for key, value in values.items() if key not in RESERVED}
        return family.chain.up(body, version, Record(), target)
    document = document_of(values, family, path)
    if target == family.head:
        return document_tree(document)
    older, losses = _down(document, target)
    if losses and not allow_loss:
        raise LossError(
            Problem("loss", f"{reason}; --allow-loss drops it", key, Place(path)) for key, reason in losses.items()
        )
    return older


def _down(document: Document, target: int) -> tuple[Tree, dict[str, str]]:
    """Return a document as version `target` has it, and why each value that it cannot hold is lost.

    Whatever the operations say, the older document is upgraded again and compared: what would not come
    back as it is, is lost.
    """
    family = document.family
    older, withheld = family.chain.down(document.training.model_dump(mode="json"), target, document.record)
    stripped = _stripped(older, document, target)
    if family.chain.identify(stripped).version == target:
        older = stripped
    losses = {key: "is a secret that was never recorded" for key, value in withheld if value == WITHHELD}
    again = document_of(older, family)
    for leaf in family.public_leaves:
        if again.version != target or leaf.get(again.training) != leaf.get(document.training):
            came = quote(plain(leaf.get(again.training)))
            losses[leaf.name] = f"version {target} cannot hold it: it would come back as {came}"
    return older, losses


def _stripped(older: Tree, document: Document, target: int) -> Tree:
    """Return `older` without what the original did not have either, where the original was of version `target`."""
    origin = document.provenance.get("migrated_from") if document.version == document.family.head else document.version
    tree: Tree = copied(older)
    if origin != target or not document.assumed:
        return tree
    chain = document.family.chain
    template = chain.template(target)
    for path in leaf_paths(template):
        name = ".".join(path)
        if chain.spellings.get(name, name) in document.assumed and same(dig(tree, path, MISSING), dig(template, path)):
            take(tree, path)
            prune(tree, path)
    return tree
