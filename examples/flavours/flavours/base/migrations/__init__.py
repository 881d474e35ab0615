"""The history of the configuration of flavours_base, one file per step, read like a changelog."""
