"""Anything that holds a configuration, as a document."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from pydantic import SecretStr

from tttcfg.documents.document import Document, document_of
from tttcfg.documents.effective import Effective
from tttcfg.errors import InputError, Place, Problem
from tttcfg.family.extension import extensions_of
from tttcfg.family.family import Family, family_rooted_in
from tttcfg.formats.python import is_namespace, plain_tree
from tttcfg.schema.fields import Section
from tttcfg.schema.paths import MISSING, Tree, get_path, set_path, split
from tttcfg.schema.validation import validate


def document_from(configuration: Any, family: Family) -> Document:
    """Return anything that holds a configuration as a document.

    Args:
        configuration: A `Document`, an `Effective`, a family's model, or what an older version of a trainer made: a
            dataclass instance, an `argparse.Namespace` or a mapping of any class. Its names may be dotted
            (`ttt.base_lr`), as a command line with flat names has them.
        family: The family of whatever does not name its own.

    Raises:
        InputError: It holds none, or what no version of the family has.
    """
    if isinstance(configuration, Document):
        return configuration
    if isinstance(configuration, Effective):
        effective: Effective = configuration
        own = effective.family
        document = Document(effective.training, own, own.head, provenance=effective.provenance)
        return replace(document, parts=effective.parts, passed_through=effective.passed_through)
    if isinstance(configuration, Section) and (named := family_named_by(configuration)) is not None:
        return Document(configuration, named, named.head)
    if isinstance(configuration, Mapping):
        return _of_tree(plain_tree(configuration, ""), family, "document")
    if is_namespace(configuration) or (is_dataclass(configuration) and not isinstance(configuration, type)):
        return _of_tree(plain_tree(configuration, ""), family, type(configuration).__name__)
    model_name = family.model.__name__
    advice = f"give a {model_name}, an Effective, a Document, or a document as plain values"
    if isinstance(configuration, (str, os.PathLike)):
        advice = "read a file with tttcfg.load_document"
    message = f"is a {type(configuration).__name__}, not a {model_name}; {advice}"
    raise InputError(Problem("rejected", message, "configuration"))


def of_family(document: Document, family: Family) -> Document:
    """Return `document`, which has to be of `family`.

    Raises:
        InputError: It is of another family.
    """
    own = document.family
    if own.model is not family.model:
        message = f"is a {own.model.__name__} of the family {own.name}, not a {family.model.__name__} of {family.name}"
        advice = f"give a configuration of {family.name}, or the family {own.name}"
        raise InputError(Problem("family", message, "configuration", advice=advice))
    return document


def family_named_by(configuration: Any) -> Family | None:
    """Return the family of a `Document`, an `Effective` or a family's model; None for anything else."""
    if isinstance(configuration, (Document, Effective)):
        return configuration.family
    return family_rooted_in(type(configuration)) if isinstance(configuration, Section) else None


def _of_tree(flat: Tree, family: Family, name: str) -> Document:
    """Return plain values as a document; secrets, which no document holds, stay with the configuration."""
    tree = _sectioned(flat)
    secrets = {field.path: get_path(tree, field.path) for field in family.secret_fields}
    given = {path: secret for path, secret in secrets.items() if secret is not None}
    for path in given:
        set_path(tree, path, None)
    if "schema_version" not in tree and family.chain.identify(tree).version == family.head:
        tree["schema_version"] = family.head
    document = document_of(tree, family, name)
    if not given:
        return document
    body = document.training.model_dump()
    for path, secret in given.items():
        set_path(body, path, SecretStr(secret) if isinstance(secret, str) else secret)
    return replace(document, source=validate(family.model, body, lambda _: Place(name)))


def _sectioned(tree: Tree) -> Tree:
    """Return `tree` with its dotted names brought to their sections."""
    found = {name: value for name, value in tree.items() if "." not in name}
    for name in (name for name in tree if "." in name):
        path = split(name)
        if get_path(found, path, MISSING) is not MISSING or not set_path(found, path, tree[name]):
            raise InputError(Problem("conflict", "is given by its dotted name and in its section; keep one", name))
    return found


def extended(document: Document, settings: Iterable[Section]) -> Document:
    """Return `document` with the settings of extensions in it.

    Raises:
        InputError: They are of none, or of another family's.
    """
    parts = dict(document.parts)
    for one in settings:
        extension = next((ext for ext in extensions_of(document.family).values() if ext.model is type(one)), None)
        if extension is None:
            message = f"is the model of no extension of {document.family.name}; tttcfg.register makes one known"
            raise InputError(Problem("extension", message, type(one).__name__))
        parts[extension.name] = Document(one, extension, extension.head)
    return replace(document, parts=parts) if parts else document
