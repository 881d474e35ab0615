"""Report whether two results of evaluations are comparable, and if not, all reasons.

    python examples/ttt_moshi/compare_results.py A.json B.json

Exit codes: 0 comparable; 1 not comparable; 2 wrong usage, or a file that is not a result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ttt_moshi import evaluation
from ttt_moshi.program import run


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Report whether two results are comparable.", allow_abbrev=False)
    parser.add_argument("results", nargs=2, type=Path, metavar="FILE", help="what eval_from_checkpoint.py wrote")
    found = evaluation.compare(*map(evaluation.read, parser.parse_args(words).results))
    lines = ["comparable" if found.comparable else "not comparable:", *(f"   {reason}" for reason in found.reasons)]
    lines += [f"{name}: {one:.4f} and {other:.4f}" for name, (one, other) in found.figures.items()]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return int(not found.comparable)


if __name__ == "__main__":
    run(main)
