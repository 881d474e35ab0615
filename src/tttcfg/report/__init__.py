"""From structure to sentences and tables.

The public functions, the command line and the generated pages import it. What errors say, and what a result
shows of itself in a notebook, is the only text for people that is made elsewhere.
"""
