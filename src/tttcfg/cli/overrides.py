"""Overrides as they are typed: KEY=VALUE, --KEY=VALUE and --KEY VALUE all mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from tttcfg.errors import InputError, Problem, quote


def override_texts(words: Sequence[str]) -> list[str]:
    """Return typed words as KEY=VALUE texts.

    Raises:
        InputError: A word is neither; all of them at once.
    """
    texts, problems, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and "=" not in word:
            name = word[2:].replace("-", "_")
            if rest and not rest[0].startswith("--"):
                texts.append(f"{name}={rest.pop(0)}")
            else:
                problems.append(Problem("override", "needs a value; for a switch write true or false", word))
        elif "=" in word and (word.startswith("--") or not word.startswith("-")):
            name, _, value = word.removeprefix("--").partition("=")
            texts.append(f"{name.replace('-', '_') if word.startswith('--') else name}={value}")
        else:
            message = f"{quote(word)} is neither KEY=VALUE nor an option; paths go after --checkpoint and --config"
            problems.append(Problem("override", message))
    if problems:
        raise InputError(problems)
    return texts
