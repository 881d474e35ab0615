"""Input that was made to do harm: it costs next to nothing, ends with an error of ours, and nothing else is written."""
