"""The history of moshi_in_place's training configuration, one file per step, read like a changelog."""
