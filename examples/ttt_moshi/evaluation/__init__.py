"""Benchmarks of spoken language models, on data in their published layouts; see README.md."""

from .benchmarks import FAILURES, evaluate
from .results import Comparison, as_text, assemble, compare, describe, exit_code, read, require_writable, write

__all__ = [
    "FAILURES",
    "Comparison",
    "as_text",
    "assemble",
    "compare",
    "describe",
    "evaluate",
    "exit_code",
    "read",
    "require_writable",
    "write",
]
