"""The public functions, for the built-in family; `tttcfg` exports them by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from tttcfg import document as documents
from tttcfg import saving
from tttcfg.differences import Difference, differences
from tttcfg.document import Document
from tttcfg.effective import Effective
from tttcfg.family import Family
from tttcfg.migrating import migrate_tree
from tttcfg.record import Tree
from tttcfg.resolver import Restore, resolve_family
from tttcfg.sources.overrides import Overriding
from tttcfg.sources.reading import Config
from tttcfg.ttt_moshi.family import TTT_MOSHI, TrainingArgs, TTTConfig


def resolve(
    checkpoint: str | os.PathLike[str] | None = None,
    config: Config | Iterable[Config] | None = None,
    overrides: Overriding = (),
    *,
    restore: Restore = "auto",
    model_config: str | os.PathLike[str] | None = None,
    require_ttt: bool = False,
    require_training: bool = False,
    family: Family = TTT_MOSHI,
) -> Effective[TrainingArgs, TTTConfig]:
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

    Raises:
        InputError: Something that was given cannot be used; all problems of all sources at once.
        ContradictionError: Everything is valid, and cannot be true together; `effective` holds the result.
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
    )


def load_document(path: str | os.PathLike[str], *, family: Family = TTT_MOSHI) -> Document[TrainingArgs]:
    """Read the saved configuration at `path`, of any version, upgraded and validated.

    Raises:
        NewerVersionError: A later tttcfg wrote it; the message says what to install.
        ForeignDocumentError: Another program did.
        InputError: It cannot be read, or its values are refused.
    """
    return documents.load_document(path, family)


def save_document(
    path: str | os.PathLike[str],
    configuration: Any,
    *,
    written_at: datetime | None = None,
    family: Family = TTT_MOSHI,
) -> Path:
    """Write a configuration at `path` (a folder takes training_config.json), atomically and durably.

    Args:
        configuration: A `TrainingArgs`, an `Effective`, a `Document`, or a document as plain values.
        written_at: The time that goes into the document; now where it is left out.

    Returns:
        The file that was written.

    Raises:
        InputError: It would not come back as it is; nothing was written.
        WriteError: The file could not be written; what stood there is untouched.
    """
    return saving.save_document(path, as_document(configuration, family), written_at=written_at)


def as_document(configuration: Any, family: Family = TTT_MOSHI) -> Document:
    """Return anything that holds a configuration as a document."""
    if isinstance(configuration, Document):
        return configuration
    if isinstance(configuration, Mapping):
        return documents.document_of(configuration, family)
    if isinstance(configuration, Effective):
        return Document(configuration.training, family, family.head, provenance=configuration.provenance)
    return Document(configuration, family, family.head)


def migrate_document(
    document: Mapping[str, Any],
    to: int | None = None,
    *,
    allow_loss: bool = False,
    family: Family = TTT_MOSHI,
) -> Tree:
    """Return a saved document as version `to` has it (the current one); the argument stays as it is.

    Raises:
        LossError: An older version cannot hold a value and nothing would bring it back.
        InputError: The document cannot be read.
    """
    return migrate_tree(document, family, to=to, allow_loss=allow_loss)


def diff(left: Any, right: Any, *, family: Family = TTT_MOSHI) -> tuple[Difference, ...]:
    """Return where two configurations differ; each may be a `TrainingArgs`, an `Effective` or a `Document`."""
    return differences(as_document(left, family).training, as_document(right, family).training, family)
