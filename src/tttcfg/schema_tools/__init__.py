"""How a family's schema changes: what differs, what is missing, and writing the next version.

The report, the laws of `tttcfg.testing` and the commands may import it; no training run does.
"""
