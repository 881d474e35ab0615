"""How programs name their tensors: one module per dialect, each with a `dialect`."""
