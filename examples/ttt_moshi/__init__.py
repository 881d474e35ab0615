"""A small Moshi-like model with TTT layers: training it, and evaluating its checkpoints, with tttcfg."""
