"""Overrides on a command line: KEY=VALUE, --KEY=VALUE and --KEY VALUE are equivalent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tttcfg.errors import InputError, Problem, nearest, quote
from tttcfg.family.family import Family
from tttcfg.resolving.families import chosen_family


def override_texts(
    arguments: Sequence[str], options: Sequence[str] = (), *, family: Family[Any, Any] | None = None
) -> list[str]:
    """Return command-line arguments (`KEY=VALUE`, `--KEY=VALUE`, `--KEY VALUE`) as overrides for `resolve`.

    Args:
        arguments: Those that an argument parser left over, for example the second result of `parse_known_args`.
        options: The parser's own options without hyphens: a misspelled one is then not taken for a setting.

    Raises:
        InputError: An argument is not an override; all problems at once.
    """
    texts, problems, rest, own = [], [], list(arguments), family or chosen_family(None)
    places = "paths go after --checkpoint and --config"
    if "checkpoint" not in options:
        places = "the checkpoint's path comes first, without an option, and files go after --config"
    while rest:
        word = rest.pop(0)
        if option := _misspelled_option(word, options, own):
            problems.append(Problem("override", "is no option", word.partition("=")[0], suggestion=f"--{option}"))
            rest = rest[1:] if "=" not in word and rest and not rest[0].startswith("--") else rest
        elif word.startswith("--") and "=" not in word:
            name = word[2:].replace("-", "_")
            if rest and not rest[0].startswith("--"):
                texts.append(f"{name}={rest.pop(0)}")
            else:
                problems.append(Problem("override", "needs a value; for a switch write true or false", word))
        elif "=" in word and (word.startswith("--") or not word.startswith("-")):
            name, _, value = word.removeprefix("--").partition("=")
            texts.append(f"{name.replace('-', '_') if word.startswith('--') else name}={value}")
        else:
            problems.append(Problem("override", f"{quote(word)} is neither KEY=VALUE nor an option; {places}"))
    if problems:
        raise InputError(problems)
    return texts


def _misspelled_option(word: str, options: Sequence[str], family: Family) -> str:
    """Return the option that a word like --restor is near to, unless it names a setting or is nearer to one."""
    name = word[2:].partition("=")[0]
    if not word.startswith("--") or "." in name or name.replace("-", "_") in family.fields:
        return ""
    found = nearest(name, [*options, *(field for field in family.fields if "." not in field)])
    return found if found in options else ""
