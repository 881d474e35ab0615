"""The TTT layers and what they compute.

Fingerprints and checkpoints may import it.
"""
