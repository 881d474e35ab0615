"""The public functions; `tttcfg` exports them by name.

Each takes the `family` of what it reads. Left out, it is that of a model that is given, or that which documents name in
their `$schema`, or else the built-in one.
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
from tttcfg.documents.checkpoint import find_checkpoint, weight_names
from tttcfg.documents.convert import extended
from tttcfg.documents.differences import Difference, document_differences
from tttcfg.documents.document import Document
from tttcfg.documents.effective import Binding, Effective, Origin, Verification
from tttcfg.errors import ContradictionError, InputError, Problem
from tttcfg.family.extension import KEY as EXTENSIONS
from tttcfg.family.extension import Carried, Extension, register
from tttcfg.family.family import Family, family_of
from tttcfg.resolving.families import as_document, with_family
from tttcfg.resolving.overrides import Overriding
from tttcfg.resolving.resolver import Restore, resolve_family
from tttcfg.resolving.sources import Config
from tttcfg.schema.fields import Role, Section, setting
from tttcfg.schema.paths import Tree
from tttcfg.ttt_moshi.family import TrainingArgs, TTTConfig

Model = TypeVar("Model", bound=Section, default=TrainingArgs)
Layers = TypeVar("Layers", default=TTTConfig)

__all__ = [
    "Binding",
    "Difference",
    "Document",
    "Effective",
    "Extension",
    "Family",
    "Origin",
    "Role",
    "Section",
    "TTTConfig",
    "TrainingArgs",
    "Verification",
    "adopt",
    "bind",
    "canonicalize_header",
    "diff",
    "inspect_weights",
    "load_document",
    "mark_for",
    "migrate_document",
    "register",
    "resolve",
    "save_document",
    "setting",
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
    """Merge everything that was given into one validated effective configuration.

    For architecture, computation and training fields an override beats the checkpoint, the checkpoint
    beats the configuration files, and those beat the default; for run fields (paths, frequencies) the
    configuration files beat the checkpoint.

    Args:
        checkpoint: Any path into a checkpoint; a run folder means its newest one.
        config: Configuration files (YAML, JSON, TOML) or mappings, merged left to right.
        overrides: `KEY=VALUE` texts, or a mapping from dotted key to value.
        restore: `auto` as above; `all` lets the checkpoint beat the files for every field; `none`
            leaves the checkpoint's configuration out.
        model_config: The model's config.json, where the checkpoint has none.
        require_ttt: Raise where the layers' configuration cannot be derived.
        require_training: Raise where something is missing that a training run needs.
        strict_extensions: Raise where a source has settings of an extension that is not installed, which are carried
            along otherwise, with a warning.

    Raises:
        InputError: Something that was given cannot be used; all problems of all sources at once.
        ContradictionError: Everything is valid, and cannot be true together; `effective` holds the result.
    """
    return with_family(
        lambda own: resolve_family(
            own,
            checkpoint=checkpoint,
            config=config,
            overrides=overrides,
            restore=restore,
            model_config=model_config,
            require_ttt=require_ttt,
            require_training=require_training,
            strict_extensions=strict_extensions,
        ),
        family,
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
    """Hold what `resolve` would give against the checkpoint's tensors, before anything is loaded.

    Arguments are those of `resolve`; the result has a verdict for every architecture and computation field. Where the
    checkpoint has no configuration of its own, what its tensors prove stands before what a file says; `restore="none"`
    holds the files by themselves against the tensors.

    Raises:
        InputError: Something that was given cannot be used, or the checkpoint holds no weights that can be read.
        ContradictionError: The weights are not of this configuration; all contradictions at once.
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
    """Return what a checkpoint's tensors prove, and how config.json and the saved configuration agree with it.

    Contradictions are among the findings.

    Raises:
        InputError: A file cannot be read, or the checkpoint holds no weights.
    """
    try:
        return verified(resolved_without_demands(checkpoint, family=family), checkpoint)
    except ContradictionError as error:
        if not isinstance(error.effective, Effective):
            raise
        return verified(error.effective, checkpoint)


def resolved_without_demands(
    checkpoint: str | os.PathLike[str],
    config: Config | Iterable[Config] | None = None,
    *,
    family: Family[Any, Any] | None = None,
) -> Effective:
    """Return what `resolve` does, where weights that no configuration describes are no error."""
    return with_family(
        lambda own: resolve_family(own, checkpoint=checkpoint, config=config, require_weights=False), family
    )


def adopt(
    checkpoint: str | os.PathLike[str],
    config: Config | Iterable[Config] | None = None,
    *,
    written_at: datetime | None = None,
    family: Family[Any, Any] | None = None,
) -> Path:
    """Give a checkpoint without training_config.json one, from what its tensors prove and `config`.

    Whoever calls it vouches for the configuration files. The document records what the tensors proved, what was
    vouched for, and which architecture and computation fields are neither: those stay doubted.

    Returns:
        The file that was written.

    Raises:
        InputError: There is nothing to adopt, something cannot be used, or neither tensors nor `config` tell which
            layers have TTT; nothing was written.
        ContradictionError: The tensors contradict the configuration, or refute what a file says, or would refute the
            document; all of it at once, and nothing was written.
    """
    effective = resolved_without_demands(checkpoint, config, family=family)
    return adopt_resolved(effective, checkpoint, written_at=written_at)


def adopt_resolved(
    effective: Effective, checkpoint: str | os.PathLike[str], *, written_at: datetime | None = None
) -> Path:
    """Do what `adopt` does with what it resolves."""
    from tttcfg.verification.adopt import adopted  # and what writes beside weights

    verification, family = verified(effective, checkpoint), family_of(type(effective.training))
    found = find_checkpoint(checkpoint, weight_names(family))
    document = adopted(effective, verification, found, family)
    return saving.save_document(document.path, document, written_at=written_at)


def verified(effective: Effective, checkpoint: str | os.PathLike[str]) -> Verification:
    """Return what the tensors say of a result, or raise an InputError where the checkpoint has none."""
    if effective.verification is None:
        names = weight_names(family_of(type(effective.training)))
        message = f"holds no weights: none of {', '.join(names)}"
        raise InputError(Problem("not_found", message, place=os.fspath(checkpoint)))
    return effective.verification


def load_document(path: str | os.PathLike[str], *, family: Family[Model, Any] | None = None) -> Document[Model]:
    """Read the saved configuration at `path`, of any version, upgraded and validated.

    Raises:
        NewerVersionError: A later tttcfg wrote it; the message says what to install.
        ForeignDocumentError: Another program did.
        InputError: It cannot be read, or its values are refused.
    """
    return with_family(lambda own: documents.load_document(path, own), family)


def save_document(
    path: str | os.PathLike[str],
    configuration: Any,
    *,
    extensions: Iterable[Section] = (),
    written_at: datetime | None = None,
    family: Family[Any, Any] | None = None,
) -> Path:
    """Write a configuration at `path` (a folder takes training_config.json), atomically and durably.

    A training_config.json says which weights it belongs to: of every weights file beside it that carries the mark of
    this configuration (`mark_for`), it records the header's digest. Weights without a mark stay unbound.

    Args:
        configuration: A `TrainingArgs`, an `Effective`, a `Document`, or a document as plain values.
        extensions: The settings of extensions, which take the place of those that `configuration` has.
        written_at: The time that goes into the document; now where it is left out.

    Returns:
        The file that was written.

    Raises:
        InputError: It would not come back as it is; nothing was written.
        ContradictionError: Weights beside it carry the mark of another configuration; nothing was written. To bind
            them to this one on purpose, use `bind`. The mark of a newer tttcfg is an InputError.
        WriteError: The file could not be written; what stood there is untouched.
    """
    target = saving.target_of(path)
    document = extended(as_document(configuration, family), extensions)
    return saving.save_document(target, placed(document, target), written_at=written_at)


def placed(document: Document, target: Path) -> Document:
    """Return `document` as it is saved at `target`: as a training_config.json, with a record of the weights there.

    What it records of weights elsewhere is left out. Raises what `save_document` does.
    """
    if not saving.is_beside_weights(document, target):
        return document
    from tttcfg.verification.bind import recorded  # and what reads tensors

    return recorded(document, str(target))


def mark_for(configuration: Any, *, embed: bool = False, family: Family[Any, Any] | None = None) -> dict[str, str]:
    """Return the metadata that binds weights to a configuration: `save_file` of safetensors takes it as `metadata`.

    It holds the digest of the architecture and computation fields, and `format: pt`. The library writes metadata in an
    order that changes; `canonicalize_header` gives the saved file the one order: equal weights are equal bytes.

    Args:
        configuration: A `TrainingArgs`, an `Effective`, a `Document`, or a document as plain values.
        embed: Put the whole configuration in as well, secrets apart, so that the file can be shared alone.

    Raises:
        InputError: It is no configuration, or too long to be embedded.
    """
    from tttcfg.verification import tags  # and what reads tensors

    return tags.mark_for(as_document(configuration, family), embed=embed)


def canonicalize_header(path: str | os.PathLike[str]) -> None:
    """Bring the header of a file that was just saved into its one form: the format's library shuffles the metadata.

    Only for a file that has not been put in its place yet: the header is overwritten where it stands, which costs
    nothing, and a program that dies meanwhile leaves it torn.

    Raises:
        InputError: The file cannot be read, breaks the format, or is truncated.
        WriteError: The disk would not take it.
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
    """Bind weights and configuration that exist to each other, so that neither is ever taken for another's.

    The weights file gets the digest of the architecture and computation fields into its metadata, the document beside
    it the digest of the weights' header. The file is copied in constant memory, its tensors' bytes untouched and
    checked, and needs its own size of free disk for a while. What breaks off in between leaves the two unbound, and
    binding again goes on from there. What stood in the document and is no longer in it is kept beside it, as
    training_config.json.bak, and so is a configuration that the weights themselves carried and no longer do, as
    training_config.json.embedded-….bak.

    Args:
        path: Any path into a checkpoint, or a weights file; of a sharded checkpoint, each file is marked.
        configuration: A `TrainingArgs`, an `Effective`, a `Document`, or a document as plain values, which takes the
            place of whatever the weights were bound to; left out, the training_config.json that lies there.
        embed: Put the whole configuration into the weights as well, secrets apart, so that the file can be shared
            alone; left out, weights that carry one keep one.

    Raises:
        InputError: Something cannot be used, or there are no weights; or no configuration was given, and the weights
            carry a mark that this tttcfg cannot read. Nothing was written.
        ContradictionError: The tensors contradict the configuration; or none was given, and weights and document are
            bound to others than each other. Nothing was written.
        WriteError: A file could not be written, or changed meanwhile; the weights are as they were.
    """
    document = None if configuration is None else as_document(configuration, family)
    from tttcfg.verification import bind as binding  # and what reads and writes tensors

    own = family or (document.family if document is not None else None)
    return with_family(lambda one: binding.bind(path, document, one, embed=embed), own)


def migrate_document(
    document: Mapping[str, Any],
    to: int | None = None,
    *,
    allow_loss: bool = False,
    family: Family[Any, Any] | None = None,
) -> Tree:
    """Return a saved document as version `to` has it (the current one); the argument stays as it is.

    Raises:
        LossError: An older version cannot hold a value and nothing would bring it back.
        InputError: The document cannot be read.
    """
    from tttcfg.documents.downgrade import migrate_tree  # and all operations, which a current document needs none of

    tree = with_family(lambda own: migrate_tree(document, own, to=to, allow_loss=allow_loss), family)
    sections = tree.get(EXTENSIONS, {})
    plain = {name: one.values if isinstance(one, Carried) else one for name, one in sections.items()}
    return {**tree, EXTENSIONS: plain} if plain else tree


def diff(left: Any, right: Any, *, family: Family[Any, Any] | None = None) -> tuple[Difference, ...]:
    """Return where two configurations differ; each may be a `TrainingArgs`, an `Effective` or a `Document`."""
    return document_differences(as_document(left, family), as_document(right, family))
