"""The history of the Moshi TTT trainer's configuration, one file per step, read like a changelog."""
