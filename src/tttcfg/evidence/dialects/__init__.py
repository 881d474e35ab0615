"""How programs name their tensors, one file each.

The folders below it in `docs/architecture.md` may import it, and families that have a dialect of their own.
"""
