"""`python -m tttcfg`."""

import os
import sys

try:
    _here = os.getcwd()
except OSError:  # it was removed
    _here = ""
if sys.path[0] in ("", _here):  # where Python would search for every module, before all others
    del sys.path[0]

from tttcfg.cli import main

if __name__ == "__main__":
    main()
