"""A configuration checked against tensors, and weights and documents bound to each other.

Resolving and the public functions may import it.
"""
