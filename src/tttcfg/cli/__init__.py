"""The `tttcfg` command: a thin shell over the public API.

Exit codes: 0 fine; 1 the answer is no (a contradiction, a difference, a file that failed); 2 wrong
use or input that cannot be read.
"""

from __future__ import annotations

import gc
import os
import sys

from tttcfg.version import __version__


def main() -> None:
    """Run the command line; `--version` alone imports nothing else."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"tttcfg {__version__}\n")
        return
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else all installed packages are searched for some
    gc.disable()  # imports leave nothing to collect, and looking for it would cost a tenth of the command
    try:
        from tttcfg.cli.app import run  # typer and pydantic, which --version does without

        run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
