"""Several ranks of one run, and the tensors and wrappers of a model that they share.

Every folder of `nn` may import it.
"""
