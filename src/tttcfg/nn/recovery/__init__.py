"""Which settings a checkpoint was trained with, from its weights and from data of its training.

Imported by `nn` alone.
"""
