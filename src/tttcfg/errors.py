"""What can go wrong, as structure: each problem knows its code, its key, its place and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from tttcfg.secrets import shown_key, without_secrets

__all__ = [
    "ContradictionError",
    "ForeignDocumentError",
    "InputError",
    "LossError",
    "NewerVersionError",
    "Place",
    "Problem",
    "RankError",
    "TttcfgError",
    "WriteError",
    "quote",
]
SEVERITIES = ("error", "warning", "info")
"""How bad a problem is, the gravest first."""
MAX_PROBLEMS = 20
MAX_COLLECTED = 1_000
"""After which reading ends, where each takes time."""
MAX_QUOTED = 120
MAX_NAME = 5_000
"""Of a path or key in front of a message: the longest path that can be opened has 4,096 characters."""

# Every code that a problem may have, with what it means. docs/errors.md is generated from this table,
# and a test checks that every code used in the source is in it.
CODES = {
    "absent": "A new field of a schema for which it is not stated what its absence meant.",
    "alias_bomb": "Aliases or merge keys that expand beyond the cap.",
    "assumed": "The checkpoint's document lacks a field of its own version; another source or a default is used.",
    "binding": "Weights and a saved configuration that do not belong together.",
    "bug": "An error that nothing foresaw, in tttcfg or in a plug-in.",
    "computation": "A restored model that does not compute what was saved.",
    "conflict": "Two spellings of one setting in the same source.",
    "contradiction": "The effective configuration contradicts the model it is for.",
    "converted": "A value of an older form, or one that the program of that time did not obey, as it is read now.",
    "cycle": "A YAML alias that contains itself.",
    "declaration": "A field of a model that is not declared as a schema needs it.",
    "deviation": "An override changes what the checkpoint's weights compute, compared with training.",
    "dialect": "Tensor names that no known program uses, or those of another program than the configuration is for.",
    "directive": "A YAML directive that would change how the file is read.",
    "doubt": "A recorded value that the program of that time may not have obeyed.",
    "drift": "A model that its newest frozen schema does not describe any more.",
    "duplicate_key": "The same key twice in one mapping.",
    "empty": "A file with no configuration in it.",
    "encoding": "Bytes that are not plain UTF-8.",
    "extension": "Settings of an extension that is not installed.",
    "family": "A document of another family than it is read as.",
    "foreign": "A document of another program.",
    "partial": "A configuration file that could not start a training run alone.",
    "golden": "A golden document that is missing, or that does not upgrade as recorded.",
    "index": "A list index that does not exist.",
    "inherited": "A field of a family's own that a version of its parent changes: what becomes of it is not stated.",
    "kernel": "Which implementation of the inner scan `auto` takes, and why not the others.",
    "legacy": "A value that the old program did not record, and that is not known.",
    "loss": "A value that cannot come back in the older version.",
    "merged": "Adapters that saving has merged into the weights, as configured.",
    "missing": "Something that a training run needs and that is not given.",
    "model_config": "The model's dimensions are unknown or unusable.",
    "newer": "A document of a schema version newer than this tttcfg knows.",
    "not_a_mapping": "A document or section that is not a mapping of keys to values.",
    "not_determined": "A field that is not determined by the tensors, with the reason.",
    "not_finite": "NaN or infinity.",
    "not_found": "A file or checkpoint that is not there.",
    "null": "Text that most likely stands for null.",
    "number": "A number that readers of YAML 1.1 take for another one.",
    "override": "An override that is not KEY=VALUE.",
    "padding": "A sequence length that is padded to whole mini-batches.",
    "persistence": "Inner weights that go on while evaluating, so that results depend on order and batches.",
    "plugin": "A family, extension or variant that is not there, cannot be imported or used, or is claimed twice.",
    "ranks": "Ranks of one run that have different configurations, or of which one failed.",
    "reason": "A field that was removed from a schema without a stated reason.",
    "recovered": "A value that was recovered from weights and data, with the figures that support it.",
    "rejected": "A value that the field does not accept.",
    "released": "A released file of a schema's history that was changed or is missing.",
    "removed": "A setting that no longer exists; its value had no effect.",
    "rename": "A stated rename that is none.",
    "renamed": "An old name that was read as the new one.",
    "restored": "The checkpoint's value is used although a configuration file has another.",
    "safetensors": "A weights file that breaks a rule of the safetensors format.",
    "schema": "A frozen schema that is missing or wrong, or a new version that cannot be made.",
    "secret": "A secret in a saved document, or a URL with a login or a query in a setting.",
    "shards": "A sharded checkpoint whose index and files disagree.",
    "step": "A migration that is missing, or that does not fit the schemas that it joins.",
    "syntax": "Text that is not valid YAML, JSON or TOML.",
    "tag": "A YAML tag; configurations are plain data only.",
    "too_deep": "Nesting beyond the cap.",
    "too_large": "A file or value beyond the cap.",
    "training": "Settings that the trainer is known to refuse or to ignore together.",
    "truncated": "A weights file that ends before the data that its header promises.",
    "unbound": "Weights and a saved configuration of which neither names the other's digest.",
    "unconfirmed": "A computation field of a checkpoint without training_config.json: its value cannot be confirmed.",
    "unit": "Numbers whose unit changed, without a conversion or the statement that they stay what they are.",
    "unknown_key": "A key that no version of the schema has.",
    "unreadable": "A path that cannot be read as a regular file.",
    "unwritable": "A path that cannot be written safely.",
    "variant": "Settings of another variant than the one that is used.",
    "version": "A schema_version that is not a version.",
    "weights": "Tensors that contradict each other, or are missing; or several files with tensors.",
}


class Place(NamedTuple):
    """A place in a text; lines and columns count from 1, 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file] + [str(n) for n in (self.line, self.column) if n]
        return ":".join(parts)


class Problem(NamedTuple):
    """One thing to report of an input or a result; exceptions and results hold the same kind.

    Attributes:
        code: One of `CODES`.
        message: What is wrong or to be known, as a sentence about `key`.
        key: The dotted path of the setting; empty where it is not about one.
        place: Where in which file, or the name of another source.
        suggestion: The nearest valid name.
        advice: What to do about it.
        severity: One of `SEVERITIES`.
    """

    code: str
    message: str
    key: str = ""
    place: Place | str = ""
    suggestion: str = ""
    advice: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{_in_one_line(str(self.place))}: " if str(self.place) else ""
        return printable(f"{where}{self._subject}{self.sentence}")

    def labelled(self) -> str:
        """Return it as one line with its severity and code, and with the place behind the message."""
        where = f" ({_in_one_line(str(self.place))})" if str(self.place) else ""
        rest = self.sentence.removeprefix(self.message)
        return printable(f"{self.severity} [{self.code}] {self._subject}{self.message}{where}{rest}")

    def as_json(self) -> dict[str, str]:
        """Return it as the JSON objects of commands have it."""
        names = ("severity", "code", "key", "message", "place", "suggestion", "advice")
        return {name: str(getattr(self, name)) for name in names}

    @property
    def sentence(self) -> str:
        """What is wrong and what to do about it, without key and place."""
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{self.message}{hint}" + (f"; {self.advice}" if self.advice else "")

    @property
    def _subject(self) -> str:
        return f"{_in_one_line(self.key)}: " if self.key else ""

    def without_secrets(self) -> Problem:
        """Return the problem as it may be shown, whatever is in its texts."""
        message, suggestion, advice = map(without_secrets, (self.message, self.suggestion, self.advice))
        file = without_secrets(self.place.file if isinstance(self.place, Place) else self.place)
        place = self.place._replace(file=file) if isinstance(self.place, Place) else file
        return Problem(self.code, message, shown_key(self.key), place, suggestion, advice, self.severity)


_context: Any = vars(BaseException)["__context__"]


class TttcfgError(Exception):
    """The base of everything tttcfg raises on purpose; `problems` has everything that is wrong, not only the first."""

    exit_code = 2

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        given = (problems,) if isinstance(problems, Problem) else problems
        self.problems = tuple(problem.without_secrets() for problem in given)
        super().__init__(self.problems)

    @property
    def __context__(self) -> BaseException | None:
        """What was handled when it was raised, unless that is suppressed: errors of parsers hold their whole input."""
        return None if self.__suppress_context__ else _context.__get__(self)

    @__context__.setter
    def __context__(self, error: BaseException | None) -> None:
        _context.__set__(self, error)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"and {len(self.problems) - MAX_PROBLEMS} more")
        return "\n".join(lines)


class InputError(TttcfgError, ValueError):
    """A file, document or override that cannot be used as it is."""


class Problems(list[Problem]):
    """The problems of what was attempted."""

    def attempt(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `action` returns, or None where it raises an InputError, whose problems are kept."""
        try:
            return action(*arguments)
        except InputError as error:
            self.extend(error.problems)
            return None


class NewerVersionError(InputError):
    """A document written by a later tttcfg than this one."""


class ForeignDocumentError(InputError):
    """A document that some other program wrote."""


class LossError(InputError):
    """A downgrade that would lose values which nothing records."""


class WriteError(TttcfgError, OSError):
    """A file that could not be written: it is as it was, unless the message says that it was written after all."""

    def __str__(self) -> str:
        return TttcfgError.__str__(self)


class RankError(TttcfgError):
    """Another rank of the run failed, or the ranks do not have the same configuration."""


class ContradictionError(TttcfgError):
    """The configuration is valid and contradicts the model; `effective` is what was resolved."""

    exit_code = 1

    def __init__(self, problems: Iterable[Problem], effective: object = None) -> None:
        super().__init__(problems)
        self.effective = effective


def _in_one_line(name: str) -> str:
    """Return a key or place as it begins the line of a problem: a hostile one may be long, or pretend to be several."""
    return (name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…").replace("\n", "\\n")


def printable(text: str) -> str:
    """Return `text` with control, direction-changing and surrogate characters escaped, newlines kept."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def quote(value: object) -> str:
    """Return `value` as a person should see it in a sentence: escaped, quoted where text, clipped."""
    text = repr(value) if isinstance(value, str) else shallow_repr(value)
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"


def clipped(name: str) -> str:
    """Return a name for a message; names of tensors may contain anything, and be very long."""
    return name if len(name) <= MAX_QUOTED and name.isprintable() else quote(name)


def some(names: Sequence[object], most: int = 3) -> str:
    """Return the first of several names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(clipped(str(name)) for name in names[:most]) + more


def shallow_repr(value: object) -> str:
    """Describe `value` without walking into it: a hostile value may be endless when expanded."""
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, (list, tuple)):
        short = len(value) <= 8 and all(type(item) in (int, float, bool, type(None)) for item in value)
        return repr(list(value)) if short else f"a list of {len(value)} items"
    if isinstance(value, int) and value.bit_length() > 1024:
        return "a number of hundreds of digits"
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value) if isinstance(value, (int, float, str)) else kind_of(value)


def kind_of(value: object) -> str:
    """Name what a value is and not the value: it may be a secret in a place where none belongs."""
    if value is None or isinstance(value, (bool, dict, list, tuple)):
        return shallow_repr(value)
    names = ((str, "text"), ((int, float), "a number"))
    return next((name for kinds, name in names if isinstance(value, kinds)), f"a {type(value).__name__}")


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return the candidate most like `name`, or an empty text where none is near."""
    found = get_close_matches(name[:200], list(candidates), n=1, cutoff=0.8)
    return found[0] if found else ""


def nearest_key(key: str, valid: list[str]) -> str:
    """Return the valid dotted name nearest to `key`: by the whole path, else by its last part."""
    by_last = {name.rpartition(".")[2]: name for name in reversed(valid)}
    return nearest(key, valid) or by_last.get(nearest(key.rpartition(".")[2], by_last), "")
