"""The built-in family: the trainer that fine-tunes Moshi with TTT layers.

The folders below it in `docs/architecture.md` may import it.
"""

NAME = "ttt_moshi"
"""What the family is called, in schema identifiers and by the dialects of its weights."""
