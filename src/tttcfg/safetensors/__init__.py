"""The format of weights files: header, rules, shards, metadata.

Evidence and whatever binds weights may import it; what tensors mean is decided elsewhere.
"""
