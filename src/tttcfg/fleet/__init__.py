"""Many checkpoints at once: finding, planning and migrating their documents.

The command line imports it, and the report for its types.
"""
