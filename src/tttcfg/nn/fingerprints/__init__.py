"""Numbers that show what a model computes.

Checkpoints may import it.
"""
