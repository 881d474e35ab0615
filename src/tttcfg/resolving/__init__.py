"""The sources of values merged into one effective configuration with an origin for each.

The public functions, commands and layers may import it.
"""
