"""The built-in family: the trainer that fine-tunes Moshi with TTT layers."""

NAME = "ttt_moshi"
"""What the family is called, in schema identifiers and by the dialects of its weights."""
