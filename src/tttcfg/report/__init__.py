"""From structure to sentences and tables.

Only the command line and the generated pages import it; no other folder makes text for people.
"""
