"""The history of the configuration of flavours_speech, one file per step, read like a changelog."""
