"""The `tttcfg` command: a thin shell over the public API. No other folder imports it.

Exit codes: 0 fine; 1 the answer is no (a contradiction, a difference, a file that failed); 2 wrong
use or input that cannot be read.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from tttcfg.version import __version__


def main() -> None:
    """Run the command line; `--version` alone imports nothing else."""
    _demand_streams()
    if sys.argv[1:] == ["--version"]:
        with suppress(OSError):
            sys.stdout.write(f"tttcfg {__version__}\n")
            sys.stdout.flush()
            return  # a full disk is reported as by any command
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else all installed packages are searched for some
    gc.disable()  # imports leave nothing to collect, and looking for it would cost a tenth of the command
    try:
        from tttcfg.cli.app import run  # typer and pydantic, which --version does without

        run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)


def _demand_streams() -> None:
    """Leave with 2 where a standard stream is closed: a file opened later would take its place."""
    for name, stream in (("standard output", sys.stdout), ("standard error", sys.stderr)):
        if stream is None:
            with suppress(AttributeError, OSError):
                sys.stderr.write(f"error: {name}: is closed; redirect it to {os.devnull} instead\n")
            sys.exit(2)
