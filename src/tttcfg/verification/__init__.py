"""A configuration checked against tensors, and weights and documents bound to each other.

The folders below it in `docs/architecture.md` may import it.
"""
