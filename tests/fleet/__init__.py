"""Many checkpoints at once."""
