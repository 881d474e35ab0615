"""What a checkpoint's tensors say, read from their headers alone."""
