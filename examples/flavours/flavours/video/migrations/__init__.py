"""The history of the configuration of flavours_video, one file per step, read like a changelog."""
