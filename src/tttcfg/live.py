"""Configurations that live in a running program: old dataclasses, namespaces, mappings."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from tttcfg.document import document_of
from tttcfg.errors import InputError, Place, Problem
from tttcfg.family import Family
from tttcfg.fields import dig, plant
from tttcfg.from_python import plain_tree
from tttcfg.record import MISSING, Tree, split
from tttcfg.validation import validate


def training_of(value: Any, family: Family) -> Any:
    """Return a live configuration as the family's model, whatever version of the trainer made it.

    Args:
        value: A dataclass instance, a mapping, an argparse.Namespace or a pydantic model. Its own names may
            be dotted (`ttt.base_lr`), as a command line with flat names has them.

    Raises:
        InputError: It is none of these, or holds what no version of the family has.
    """
    if isinstance(value, family.model):
        return value
    tree = plain_tree(value, "")
    if not isinstance(tree, dict):
        raise InputError(Problem("not_a_mapping", f"a {type(value).__name__} holds no settings by name"))
    tree, name = _sectioned(tree), type(value).__name__
    secrets = {leaf.path: dig(tree, leaf.path) for leaf in family.secret_leaves}
    given = {path: secret for path, secret in secrets.items() if secret is not None}
    for path in given:
        plant(tree, path, None)  # documents hold none
    if "schema_version" not in tree and family.chain.identify(tree).version == family.head:
        tree["schema_version"] = family.head
    training = document_of(tree, family, name).training
    if not given:
        return training
    body = training.model_dump()
    for path, secret in given.items():
        plant(body, path, SecretStr(secret) if isinstance(secret, str) else secret)
    return validate(family.model, body, lambda _: Place(name))


def _sectioned(tree: Tree) -> Tree:
    """Return `tree` with its dotted names brought to their sections."""
    found = {name: value for name, value in tree.items() if "." not in name}
    for name in (name for name in tree if "." in name):
        path = split(name)
        if dig(found, path, MISSING) is not MISSING or not plant(found, path, tree[name]):
            raise InputError(Problem("conflict", "is given by its dotted name and in its section; keep one", name))
    return found
