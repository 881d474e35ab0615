"""The document beside a distributed checkpoint: what a trainer writes after it saves.

For a checkpoint that has none: python -m video_dit_config.sidecar FOLDER CONFIG.toml [KEY=VALUE …]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import tttcfg
from video_dit_config.distributed import METADATA_NAME, read
from video_dit_config.family import FAMILY
from video_dit_config.job_config import JobConfig


def sidecar(folder: str | os.PathLike[str], configuration: Any) -> Path:
    """Write the document of a checkpoint that `torch.distributed.checkpoint.save` has just written into `folder`.

    One rank calls it, after all have saved. The document records the digest of the `.metadata` file, so that it is
    not mistaken for another checkpoint's.

    Args:
        configuration: A `JobConfig`, an `Effective`, or a `Document`.

    Returns:
        The file that was written.

    Raises:
        InputError: The folder holds no distributed checkpoint, or a document that cannot be read; nothing was written.
        ContradictionError: The tensors are not of this configuration; nothing was written.
        WriteError: The file could not be written.
    """
    header = read(os.path.join(folder, METADATA_NAME))
    job = configuration if isinstance(configuration, JobConfig) else configuration.training
    try:
        tttcfg.verify(folder, job.model_dump(mode="json"), restore="none", family=FAMILY)
    except tttcfg.ContradictionError as error:
        problems = [one for one in error.problems if one.code != "binding"]  # of a document that is replaced
        if problems:
            raise tttcfg.ContradictionError(problems, error.effective) from None
    return tttcfg.save_document(folder, configuration, weights=[header], family=FAMILY)


def main(arguments: list[str]) -> int:
    """Write the document of a checkpoint that has none, from the configuration file that it was trained with."""
    match arguments:
        case [folder, config, *overrides]:
            try:
                print(sidecar(folder, tttcfg.resolve(config=config, overrides=overrides, family=FAMILY)))
            except tttcfg.TttcfgError as error:
                print(error, file=sys.stderr)
                return error.exit_code
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
