"""What looks like a secret: keys, what is assigned to them, generated texts; and trees and sentences without it."""

from __future__ import annotations

import os
import re
import shlex
from functools import lru_cache
from typing import Any

from tttcfg.urls import is_url, without_hidden_parts

WITHHELD = "(withheld)"


_SECRET_WORDS = re.compile(
    r"(^|_)(key|keys|token|secret|pwd|auth|bearer|credentials?)(_|$)"
    r"|token$|secret|passw|passphrase|credential|(api|access|private|wandb|auth|hf|ssh|aws)key"
)
_ASSIGNS = re.compile(r"(?<![\w.\-])[\w.\-]+[=:]+")
_BEHIND_KEY = re.compile(r"(?:(?<=[=:,;])(?!//)[^=:,;]|(?<=->)).+", re.DOTALL)
_LONGEST = 200
"""Characters of a key that are looked at."""
_NO_VALUES = ("null", "VALUE", "@", "!", WITHHELD)
"""What messages write behind a key themselves."""
_WORD = re.compile(r"[^\s=:]\S*")
_ASSIGNED = re.compile(r"(?:^|(?<=[\s'\"\[,]))([\w.\-]+)(?:=['\"]*|([\s'\",]+))(?=([^\s'\",\]]+))")
_OPTION = re.compile(r"--?[\w.\-]+")
_NO_TEXT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|true|false|null|none", re.IGNORECASE
)
"""What is no text where it is read as a value."""
_TOML = re.compile(r"\.toml(?:(?:\.[0-9]+)?\.bak)?\Z", re.IGNORECASE)
_GENERATED = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}")


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


def assigns_secret(text: str, before: object = None) -> bool:
    """Whether a text that nothing describes, such as a recorded command line, gives a secret to a key that names it.

    That is KEY=VALUE, --KEY=VALUE or --KEY VALUE, at its beginning or behind a blank or quote; VALUE is no number.

    Args:
        before: The item before it in a list: behind an option that looks like a secret's, the text is one.
    """
    if isinstance(before, str) and _OPTION.fullmatch(before) and looks_secret(before[-_LONGEST:]):
        return not text.startswith("-") and not _is_no_text(text)
    return any(
        looks_secret(found[1][-_LONGEST:])
        and (found[2] is None or (found[1].startswith("-") and not found[3].startswith("-")))
        and not _is_no_text(found[3])
        for found in (_ASSIGNED.finditer(text) if "=" in text or "-" in text else ())
    )


def _is_no_text(text: str) -> bool:
    return text == WITHHELD or _NO_TEXT.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Whether a free-form key looks like that of a secret: `wandb.key`, `apiKey`, `HF_TOKEN`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(".", "_")
    return _SECRET_WORDS.search(words) is not None


def without_secrets(text: str) -> str:
    """Return a sentence as it may be shown: without the login and query of URLs, and what is assigned to a secret."""
    if ":/" in text:
        text = without_hidden_parts(text)
    if "=" not in text and ":" not in text:
        return text
    parts, done = [], 0
    for found in _ASSIGNS.finditer(text):
        if found.start() < done or not looks_secret(found[0].rstrip("=:")[-_LONGEST:]):
            continue
        is_url = found[0].endswith(":") and text.startswith("//", found.end())
        value = None if is_url or text.startswith(_NO_VALUES, found.end()) else _WORD.match(text, found.end())
        if value is not None:
            closing = value[0][len(value[0].rstrip("'\"),;]}")) :]
            parts += [text[done : found.end()], WITHHELD, closing]
            done = value.end()
    return "".join([*parts, text[done:]])


def shown_key(key: str) -> str:
    """Return a key as it may be shown: without what looks generated, and what is behind a sign that no key has."""
    return _GENERATED.sub(WITHHELD, _BEHIND_KEY.sub(WITHHELD, without_hidden_parts(key)))


def removing(*files: str, family: str = "") -> str:
    """Return what to do to remove the secrets of files: the command, for which they have to be there.

    Args:
        family: What the command needs for `--family`, as the files do not name it.
    """
    paths = [one.removesuffix(" (embedded)") for one in files]
    if any(map(is_url, paths)):
        return "take it out of the file"
    if not paths or not all(map(os.path.lexists, paths)):
        return "take it out"
    if by_hand := [shlex.quote(one) for one in paths if _TOML.search(one)]:
        return f"edit {' and '.join(by_hand)} by hand: TOML is not rewritten"
    option = f" --family {shlex.quote(family)}" if family else ""
    operands = (f"{os.curdir}{os.sep}{one}" if one.startswith("-") else one for one in paths)
    return f"run: tttcfg scrub --write{option} {shlex.join(operands)}"
