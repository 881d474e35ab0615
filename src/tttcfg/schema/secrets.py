"""Keys that look like secrets, and trees without their values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

WITHHELD = "(withheld)"


_SECRET_WORDS = re.compile(
    r"(^|_)(key|keys|token|secret|pwd|auth|bearer|credentials?)(_|$)"
    r"|token$|secret|passw|passphrase|credential|(api|access|private|wandb|auth|hf|ssh|aws)key"
)


def without_withheld(value: Any) -> Any:
    """Return `value` without the placeholders of `redacted`."""
    if isinstance(value, list):
        return [without_withheld(item) for item in value]
    if isinstance(value, dict):
        return {key: without_withheld(item) for key, item in value.items() if item != WITHHELD}
    return value


def redacted(value: Any) -> Any:
    """Return `value` with a placeholder for what looks like a secret, at any depth."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, dict):
        return {
            key: WITHHELD if item is not None and looks_secret(key) else redacted(item) for key, item in value.items()
        }
    return value


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a free-form key looks like that of a secret: `wandb.key`, `apiKey`, `HF_TOKEN`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(".", "_")
    return _SECRET_WORDS.search(words) is not None
