"""Many checkpoints at once: finding, planning and migrating their documents.

Only the command line imports it.
"""
