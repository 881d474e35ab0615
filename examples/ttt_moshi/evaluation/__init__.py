"""The benchmarks of spoken language models on the data layouts that they are published in."""

from .benchmarks import evaluate
from .results import Comparison, as_text, assemble, compare, describe, exit_code, read, write

__all__ = ["Comparison", "as_text", "assemble", "compare", "describe", "evaluate", "exit_code", "read", "write"]
