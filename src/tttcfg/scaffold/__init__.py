"""A family made from a dataclass or a pydantic model: reading the class, guessing roles, writing models and files.

Only `tttcfg family` imports it.
"""
