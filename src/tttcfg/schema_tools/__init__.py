"""How a family's schema changes: what differs, what is missing, and writing the next version.

Only commands and the report import it; nothing at run time does.
"""
