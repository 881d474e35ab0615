"""The job configuration of ttt-video-dit, declared as a family of tttcfg."""
