"""`python -m tttcfg`."""

from tttcfg.cli import main

main()
