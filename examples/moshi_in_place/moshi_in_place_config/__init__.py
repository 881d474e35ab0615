"""The training configuration of moshi_in_place, declared as a family of tttcfg."""
