"""Overrides as they are typed: KEY=VALUE, --KEY=VALUE and --KEY VALUE all mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from tttcfg.errors import InputError, Problem, nearest, quote
from tttcfg.family.family import Family


def override_texts(words: Sequence[str], family: Family, options: Sequence[str] = ()) -> list[str]:
    """Return typed words as KEY=VALUE texts; `options` are names that a word may be a misspelling of.

    Raises:
        InputError: A word is neither; all of them at once.
    """
    texts, problems, rest = [], [], list(words)
    places = "paths go after --checkpoint and --config"
    if "checkpoint" not in options:
        places = "the checkpoint's path comes first, without an option, and files go after --config"
    while rest:
        word = rest.pop(0)
        if option := _misspelled_option(word, options, family):
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
