"""Text, JSON, TOML, YAML and values of Python programs, read with the place of every value.

Whatever reads what people wrote may import it; what the keys mean is decided elsewhere.
"""
