"""The format of weights files: header, rules, shards, metadata.

The folders below it in `docs/architecture.md` may import it; what tensors mean is decided elsewhere.
"""
