"""The history of ttt-video-dit's job configuration, one file per step, read like a changelog."""
