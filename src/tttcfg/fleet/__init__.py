"""Many checkpoints at once: finding their documents, and migrating them one by one."""
