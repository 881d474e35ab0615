"""The sources of values merged into one effective configuration with an origin for each.

The folders below it in `docs/architecture.md` may import it.
"""

from typing import Literal

Restore = Literal["auto", "all", "none"]
"""Which settings of a checkpoint are used: by their roles, all, or none."""
