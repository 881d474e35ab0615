"""The built-in family: the trainer that fine-tunes Moshi with TTT layers."""
