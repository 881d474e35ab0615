"""The public functions; `tttcfg` exports them by name.

Each takes the `family` of what it reads. By default it is that of a given model, or that which a document names in its
`$schema`, or else the built-in one. What is of another family than the one that is given is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from typing_extensions import TypeVar

from tttcfg.documents import document as documents
from tttcfg.documents import save as saving
from tttcfg.documents.checkpoint import Checkpoint, find_checkpoint, read_model_config, weight_names
from tttcfg.documents.convert import document_from, extended, of_family
from tttcfg.documents.differences import Difference, document_differences
from tttcfg.documents.document import Document
from tttcfg.documents.effective import Binding, Effective, Origin, Verification, attempted
from tttcfg.errors import InputError, Problem
from tttcfg.family.extension import Extension, register
from tttcfg.family.family import Derived, Family, ForeignFormat
from tttcfg.family.plugged import PluggedVariant, register_variant
from tttcfg.files.locks import alone
from tttcfg.formats.python import plain_tree
from tttcfg.resolving import Restore
from tttcfg.resolving.families import (
    as_document,
    family_among,
    family_in_bytes,
    named_family,
    of_second,
    read_document,
)
from tttcfg.resolving.overrides import Overriding, override_texts
from tttcfg.resolving.resolver import resolve_family
from tttcfg.resolving.sources import Config
from tttcfg.schema.fields import Role, Section, Text, Whole, guessed, setting
from tttcfg.schema.paths import Tree
from tttcfg.ttt_moshi.family import TrainingArgs, TTTConfig
from tttcfg.ttt_moshi.layer_spec import concrete_layers

Model = TypeVar("Model", bound=Section, default=TrainingArgs)
Layers = TypeVar("Layers", default=TTTConfig)

__all__ = [
    "Binding",
    "Checkpoint",
    "Derived",
    "Difference",
    "Document",
    "Effective",
    "Extension",
    "Family",
    "ForeignFormat",
    "Origin",
    "PluggedVariant",
    "Role",
    "Section",
    "TTTConfig",
    "Text",
    "TrainingArgs",
    "Verification",
    "Whole",
    "adopt",
    "bind",
    "canonicalize_header",
    "concrete_layers",
    "diff",
    "explain",
    "find_checkpoint",
    "from_any",
    "guessed",
    "inspect_weights",
    "load_document",
    "migrate_document",
    "override_texts",
    "read_model_config",
    "register",
    "register_variant",
    "resolve",
    "save_document",
    "setting",
    "tag_for",
    "to_dict",
    "to_yaml",
    "verify",
]


def resolve(
    checkpoint: str | os.PathLike[str] | None = None,
    config: Config | Iterable[Config] | None = None,
    overrides: Overriding = (),
    *,
    restore: Restore = "auto",
    model_config: str | os.PathLike[str] | None = None,
    require_ttt: bool = False,
    require_training: bool = False,
    strict_extensions: bool = False,
    family: Family[Model, Layers] | None = None,
) -> Effective[Model, Layers]:
    """Merge all sources into one validated effective configuration.

    For architecture, computation and training fields the precedence is: override, checkpoint, configuration files,
    default. For run fields (paths, frequencies) it is: override, configuration files, checkpoint, default. Where the
    checkpoint has weights, the result is checked against the names, shapes and dtypes of its tensors.

    Args:
        checkpoint: Any path into a checkpoint, or a URL; of a run folder, the newest checkpoint is taken.
        config: Configuration files (YAML, JSON, TOML) or mappings; later ones take precedence.
        overrides: `KEY=VALUE` texts, or a mapping from dotted key to value.
        restore: `auto` as above; with `all` the checkpoint precedes the files for run fields too; with `none` the
            checkpoint's configuration is ignored.
        model_config: The model's config.json, if the checkpoint has none.
        require_ttt: Raise if the layers' configuration cannot be derived.
        require_training: Raise if a setting is missing that a training run needs.
        strict_extensions: Raise if a source has settings of an extension that is not installed; by default they are
            passed through, with a warning.
        family: Whose configuration it is, here and in the other functions; by default that which a document names in
            its `$schema`, or that of a given model, or else the built-in one. What is of another family than the one
            that is given is an error.

    Raises:
        InputError: A source cannot be used; all problems of all sources at once.
        ContradictionError: Every source is valid, but the result contradicts the model or the tensors; the exception's
            `effective` holds the result.
    """
    return resolve_family(
        family,
        checkpoint=checkpoint,
        config=config,
        overrides=overrides,
        restore=restore,
        model_config=model_config,
        require_ttt=require_ttt,
        require_training=require_training,
        strict_extensions=strict_extensions,
    )


def verify(
    checkpoint: str | os.PathLike[str],
    config: Config | Iterable[Config] | None = None,
    overrides: Overriding = (),
    *,
    restore: Restore = "auto",
    model_config: str | os.PathLike[str] | None = None,
    strict_extensions: bool = False,
    family: Family[Any, Any] | None = None,
) -> Verification:
    """Check what `resolve` returns against the checkpoint's tensors; none is loaded.

    The arguments are those of `resolve`. The result has a verdict for every architecture and computation field. If the
    checkpoint has no configuration of its own, what its tensors prove precedes the files; `restore="none"` checks the
    files alone against the tensors.

    Raises:
        InputError: A source cannot be used, or the checkpoint has no readable weights.
        ContradictionError: The weights contradict the configuration; all contradictions at once.
    """
    effective = resolve(
        checkpoint,
        config,
        overrides,
        restore=restore,
        model_config=model_config,
        strict_extensions=strict_extensions,
        family=family,
    )
    return verified(effective, checkpoint)


def inspect_weights(checkpoint: str | os.PathLike[str], *, family: Family[Any, Any] | None = None) -> Verification:
    """Return what a checkpoint's tensors prove, and whether config.json and the saved configuration agree with it.

    Contradictions are reported among the findings.

    Args:
        checkpoint: Any path that leads to it; see `find_checkpoint`.
        family: By default the family that its document names, or the built-in one.

    Raises:
        InputError: A file cannot be read, or the checkpoint has no weights.
    """
    effective, _ = attempted(lambda: resolved_without_demands(checkpoint, family=family))
    return verified(effective, checkpoint)


def resolved_without_demands(
    checkpoint: str | os.PathLike[str],
    config: Config | Iterable[Config] | None = None,
    *,
    family: Family[Any, Any] | None = None,
) -> Effective:
    """Return what `resolve` returns; weights without a configuration are not an error."""
    return resolve_family(family, checkpoint=checkpoint, config=config, require_weights=False)


def adopt(
    checkpoint: str | os.PathLike[str],
    config: Config | Iterable[Config] | None = None,
    *,
    written_at: datetime | None = None,
    family: Family[Any, Any] | None = None,
) -> Path:
    """Write the training_config.json of a checkpoint that has none, from what its tensors prove and from `config`.

    You assert by it that the checkpoint was trained with the values in `config`. The document records which fields the
    tensors prove, which are asserted, and which architecture and computation fields are neither, and so unconfirmed.

    Args:
        checkpoint: Any path that leads to it; see `find_checkpoint`.
        config: As for `resolve`: what you assert.
        written_at: The time that is recorded in the document; by default now.
        family: By default the family that a file names in its `$schema`, or the built-in one.

    Returns:
        The file that was written.

    Raises:
        InputError: There is nothing to adopt, a source cannot be used, or neither the tensors nor `config` determine
            which layers have TTT; nothing was written.
        ContradictionError: The tensors contradict `config` or the resulting document; all contradictions at once, and
            nothing was written.
    """
    effective = resolved_without_demands(checkpoint, config, family=family)
    return adopt_resolved(effective, checkpoint, written_at=written_at)


def adopt_resolved(
    effective: Effective, checkpoint: str | os.PathLike[str], *, written_at: datetime | None = None
) -> Path:
    """Adopt a checkpoint with a configuration that was resolved before."""
    from tttcfg.verification.adopt import adopted  # and what writes beside weights

    weights = verified(effective, checkpoint).weights
    with alone(os.path.dirname(weights.header.name)):
        document = adopted(effective, weights, find_checkpoint(weights.header.name, weight_names(effective.family)))
        return saving.save_document(document.path, document, written_at=written_at)


def verified(effective: Effective, checkpoint: str | os.PathLike[str]) -> Verification:
    """Return the verification of a result, or raise an InputError if the checkpoint has no weights."""
    if effective.verification is None:
        names = weight_names(effective.family)
        message = f"holds no weights: none of {', '.join(names)}"
        raise InputError(Problem("not_found", message, place=os.fspath(checkpoint)))
    return effective.verification


def from_any(configuration: Any, *, family: Family[Model, Any] | None = None) -> Model:
    """Return the configuration that a trainer of any version holds, validated, as its family's model.

    Fields that an object of an older version does not have get what the program did at that time.

    Args:
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        family: As in `resolve`.

    Raises:
        InputError: It is no configuration, or one of another family than `family`; with every problem.
    """
    training: Model = as_document(configuration, family).training
    return training


def load_document(path: str | os.PathLike[str], *, family: Family[Model, Any] | None = None) -> Document[Model]:
    """Read a saved configuration of any version, upgrade it to the current one and validate it.

    Args:
        path: The file, which may be at a URL, or the folder of its training_config.json.
        family: As in `resolve`.

    Raises:
        NewerVersionError: A newer tttcfg wrote it; the message names what to install.
        ForeignDocumentError: Another program wrote it.
        InputError: It cannot be read, or a value is not valid.
    """
    file = os.path.join(path, documents.DOCUMENT_NAME) if os.path.isdir(path) else path
    return read_document(file, family)


def save_document(
    path: str | os.PathLike[str],
    configuration: Any,
    *,
    extensions: Iterable[Section] = (),
    weights: Iterable[Any] = (),
    written_at: datetime | None = None,
    family: Family[Any, Any] | None = None,
) -> Path:
    """Write a configuration, atomically and durably.

    A training_config.json records which weights it belongs to: the header's digest of each weights file in the same
    folder that has the binding tag of this configuration (`tag_for`). Weights without a tag stay unbound.

    Args:
        path: The file; in a folder, training_config.json.
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        extensions: The settings of extensions, which replace those that `configuration` has.
        weights: Each a `Header` of weights in the same folder whose format holds no metadata, as the family's
            `TensorKnowledge.read` returns it; the document records them too.
        written_at: The time that is recorded in the document; by default now.
        family: As in `resolve`.

    Returns:
        The file that was written.

    Raises:
        InputError: The document would not read back equal, or weights have the tag of a newer tttcfg; nothing was
            written.
        ContradictionError: Weights in the same folder have the tag of another configuration; nothing was written. To
            bind them to this one on purpose, use `bind`.
        WriteError: The file could not be written; an existing one is unchanged.
    """
    target = saving.target_of(path)
    document = extended(as_document(configuration, family), extensions)
    with alone(target.parent):
        return saving.save_document(target, placed(document, target, *weights), written_at=written_at)


def placed(document: Document, target: Path, *weights: Any) -> Document:
    """Return `document` as it is saved at `target`: as training_config.json, with a record of the weights there.

    Records of weights elsewhere are left out. Raises what `save_document` raises.
    """
    if not weights and not saving.is_beside_weights(document, target):
        return document
    from tttcfg.verification.bind import recorded  # and what reads tensors

    return recorded(document, str(target), *weights)


def tag_for(configuration: Any, *, embed: bool = False, family: Family[Any, Any] | None = None) -> dict[str, str]:
    """Return the binding tag: metadata that binds weights to a configuration, for `safetensors.torch.save_file`.

    The tag is the digest of the architecture and computation fields; `format: pt` is in the metadata too. The
    safetensors library writes metadata in a varying order; after `canonicalize_header`, equal weights are equal bytes.

    Args:
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        embed: Include the whole configuration without secrets, so that the file can be shared alone.
        family: As in `resolve`.

    Raises:
        InputError: It is not a configuration, or too long to be embedded.
    """
    from tttcfg.verification import tags  # and what reads tensors

    return tags.tag_for(as_document(configuration, family), embed=embed)


def canonicalize_header(path: str | os.PathLike[str]) -> None:
    """Rewrite the header of a safetensors file with its metadata in a fixed order, in place.

    Only for a file that was just saved and is not in its final place yet: a program that dies meanwhile leaves the
    header damaged. The tensors are not read.

    Raises:
        InputError: The file cannot be read, is not a valid safetensors file, or is truncated.
        WriteError: The file cannot be written.
    """
    from tttcfg.safetensors import metadata  # and what reads and writes tensors

    metadata.canonicalize_header(path)


def bind(
    path: str | os.PathLike[str],
    configuration: Any = None,
    *,
    embed: bool | None = None,
    family: Family[Any, Any] | None = None,
) -> Binding:
    """Bind existing weights and a configuration to each other, so that neither can be mistaken for another's.

    The weights get the binding tag in their metadata, the document the digest of the weights' header. The weights file
    is copied in constant memory, its tensors unchanged and verified, which needs its own size of free disk space. If it
    is interrupted, the two are unbound, and calling it again completes it. A document that is replaced is kept as
    training_config.json.bak, an embedded configuration as training_config.json.embedded-….bak.

    Args:
        path: Any path into a checkpoint, or a weights file; of a sharded checkpoint, each file gets the tag.
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping, which
            replaces whatever the weights were bound to; by default the training_config.json in the same folder.
        embed: Embed the whole configuration in the weights, without secrets, so that the file can be shared alone; by
            default, only if they have an embedded one already.
        family: As in `resolve`.

    Raises:
        InputError: A file cannot be used, or there are no weights; or no configuration was given, and the weights have
            a tag that this tttcfg cannot read. Nothing was written.
        ContradictionError: The tensors contradict the configuration; or none was given, and weights and document are
            bound to others than each other. Nothing was written.
        WriteError: A file could not be written, or changed meanwhile; the weights are unchanged.
    """
    document = None if configuration is None else as_document(configuration, family)
    from tttcfg.verification import bind as binding  # and what reads and writes tensors

    own = family or (document.family if document is not None else None)
    return binding.bind(path, document, family_in_bytes if own is None else lambda _: own, embed=embed)


def migrate_document(
    document: Mapping[str, Any],
    to: int | None = None,
    *,
    allow_loss: bool = False,
    family: Family[Any, Any] | None = None,
) -> Tree:
    """Return a saved document in another version; the argument is not changed.

    Args:
        document: The document as plain values, in any version.
        to: The version to return; by default the current one.
        allow_loss: Drop values that an older version cannot hold.
        family: As in `resolve`.

    Raises:
        LossError: An older version cannot hold a value, and upgrading again would not restore it.
        InputError: The document cannot be read, or there is no such version.
    """
    from tttcfg.documents.downgrade import migrate_tree  # and all operations, which a current document needs none of

    values = plain_tree(document, "")
    tree = migrate_tree(values, family or family_among(values), to=to, allow_loss=allow_loss)
    return saving.with_values(tree)


def diff(left: Any, right: Any, *, family: Family[Any, Any] | None = None) -> tuple[Difference, ...]:
    """Return the fields in which two configurations differ, architecture first and run last; secrets are left out.

    Args:
        left: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        right: Likewise.
        family: As in `resolve`.

    Raises:
        InputError: One is not a configuration, or they are of different families.
    """
    own = family or family_among(left, right)
    try:
        documents = [document_from(side, own) for side in (left, right)]
    except InputError as error:
        if family is not None or not any(map(named_family, (left, right))):
            raise
        raise type(error)(map(of_second, error.problems)) from None
    return document_differences(*(documents if family is None else (of_family(one, family) for one in documents)))


def to_dict(configuration: Any, *, family: Family[Any, Any] | None = None) -> Tree:
    """Return a configuration as `save_document` writes it: nested dicts, lists, texts, numbers, booleans and None.

    Secrets are not in it.

    Args:
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        family: As in `resolve`.

    Raises:
        InputError: It is no configuration, or a value of it is refused.
    """
    return saving.document_tree(as_document(configuration, family))


def to_yaml(configuration: Any, *, family: Family[Any, Any] | None = None) -> str:
    """Return a configuration as the text of a YAML file, from which `resolve` reads equal settings.

    Secrets are not in it, and neither are schema version and provenance.

    Args:
        configuration: A model of any family, `Effective`, `Document`, dataclass instance, namespace or mapping.
        family: As in `resolve`.

    Raises:
        InputError: It is no configuration, or a value of it is refused.
    """
    from tttcfg.report.render import settings_of, yaml_text  # and what else people read

    return yaml_text(settings_of(as_document(configuration, family)))


def explain(effective: Effective, key: str = "") -> str:
    """Return where values come from, as `tttcfg resolve --explain [KEY]` prints it.

    Args:
        effective: What `resolve` returned.
        key: The dotted path of a setting or a section, or a setting's old name. Its sources are listed, the one that
            is used first. Left out, there is one line for each setting.

    Raises:
        InputError: No setting has this name, or its value is a secret or not known.
    """
    from tttcfg.report.render import Ink, explanation, fields_named, origins_table  # and what else people read

    if key:
        return explanation(effective, fields_named(effective, key), Ink(False))
    return origins_table(effective.shown_origins, Ink(False))
