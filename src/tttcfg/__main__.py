"""`python -m tttcfg`."""

from tttcfg.cli import main

if __name__ == "__main__":
    main()
