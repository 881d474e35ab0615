"""The `tttcfg` command: a thin shell over the public API.

Exit codes: 0 fine; 1 the answer is no (a contradiction, a difference, a file that failed); 2 wrong
use or input that cannot be read.
"""

from __future__ import annotations

import sys

from tttcfg.version import __version__


def main() -> None:
    """Run the command line; `--version` alone imports nothing else."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"tttcfg {__version__}\n")
        return
    from tttcfg.cli.app import run  # typer and pydantic, which --version does without

    run(sys.argv[1:])
