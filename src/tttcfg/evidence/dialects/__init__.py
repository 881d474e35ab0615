"""How programs name their tensors, one file each.

Only evidence imports it.
"""
