"""Saving, loading, restoring and resuming checkpoints.

Programs use it through `tttcfg.nn`.
"""
