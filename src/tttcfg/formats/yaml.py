"""YAML 1.2 with places: built from ruamel.yaml's events, so that nothing is expanded before it is counted."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from tttcfg.errors import InputError, Place, Problem, kind_of
from tttcfg.formats.text import (
    MAX_DEPTH,
    MAX_NODES,
    ParsedFile,
    WrittenValue,
    checked_text,
    dotted,
    in_our_words,
    is_text_elsewhere,
    octal_elsewhere,
    scalar,
)
from tttcfg.schema.paths import Path
from tttcfg.secrets import looks_secret

MAX_ALIASES = 100
_PLAIN_TAGS = ("tag:yaml.org,2002:str", "!")
_MESSAGES = {
    "unexpected end of stream": "this text in quotes is not closed",
    "double-quoted scalar": "this escape sequence is not valid; write \\\\ for a backslash, or use single quotes",
    "document separator": "this text in quotes is not closed before the document ends",
    "flow sequence": "a comma or ] is missing here",
    "flow mapping": "a comma or } is missing here",
    "mapping values are not allowed": (
        "a colon is not expected here; check the indentation and the line above, or put the text in quotes"
    ),
    "mapping keys are not allowed": "a key is not expected here; check the indentation",
    "sequence entries are not allowed": "a list item is not expected here; check the indentation",
    "block mapping": "the indentation of this line matches none above it, or a colon is missing",
    "expected the node content": "a value or a closing bracket is missing here",
    "block collection": "this line is not an item of the list above it; check the indentation",
    "block scalar": "after | or >, only +, - or a digit may follow",
    "simple key": "a colon is missing after this key",
    "cannot start any token": "text that begins with this character needs quotes",
    "anchor": "after &, a name of letters and digits is required",
    "alias": "after *, a name of letters and digits is required",
    "directive": "this directive is not valid",
    "version 1.*": "only %YAML 1.2 is read; remove the directive",
    "tag": "this tag is not valid; configurations are plain data",
    "document": "nothing may follow the end of the document",
}
"""Our sentence by a part of the message of ruamel.yaml."""


def read_yaml(text: str, file: str) -> ParsedFile:
    """Read one YAML document that holds a mapping.

    Raises:
        InputError: It is not such a document, or exceeds a cap: with every problem that could be found.
    """
    tree = parse_yaml(text, file)
    if tree.values is None:
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    if not isinstance(tree.values, dict):
        message = f"holds {kind_of(tree.values)}, not a mapping of keys to values"
        raise InputError(Problem("not_a_mapping", message, place=Place(file, 1, 1)))
    return tree


def written_values(text: str, file: str) -> list[WrittenValue]:
    """Return every value in YAML text, and where it is written, with its anchor and tag.

    Raises:
        InputError: It is no plain YAML document.
    """
    return _built(text, file).written


def parse_yaml(text: str, file: str) -> ParsedFile:
    """Read one YAML document of any kind, which `values` then is, with the place of every key, and notes on values."""
    builder = _built(text, file)
    return ParsedFile(builder.root, builder.places, file, tuple(builder.notes), builder.as_text)


def _built(text: str, file: str) -> _Builder:
    if "\t" in text:
        _refuse_tabs(text, file)
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.add(event)
    except InputError:
        raise
    except MarkedYAMLError as error:
        unclosed = error.context_mark if error.problem == "found unexpected end of stream" else None
        mark = unclosed or error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        message = in_our_words(f"{error.context} {error.problem}", _MESSAGES)
        builder.problems.append(Problem("syntax", message, place=place))
    except ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, error.position - before.rfind("\n"))
        message = f"the control character U+{ord(text[error.position]):04X} is not allowed in YAML"
        builder.problems.append(Problem("syntax", message, place=place))
    except (YAMLError, ValueError) as error:
        builder.problems.append(Problem("syntax", in_our_words(str(error), _MESSAGES), place=Place(file)))
    except RecursionError:
        builder.problems.append(Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place=Place(file)))
    if builder.problems:
        raise InputError(builder.problems)
    return builder


def _refuse_tabs(text: str, file: str) -> None:
    problems = [
        Problem("syntax", "a tab indents this line; YAML indents with spaces", place=Place(file, number, 1))
        for number, line in enumerate(text.split("\n"), 1)
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip() and not line.strip().startswith("#")
    ]
    if problems:
        raise InputError(problems)


_BAD_TAG = "a tag is not supported; text that begins with ! needs quotes"
"""Names of tags and anchors are not shown: a secret that begins with ! or * and has no quotes would be one."""


class _Anchored(NamedTuple):
    """The node of an anchor: its value, how many nodes it has once expanded, how many levels, and where it is."""

    value: Any
    nodes: int
    levels: int
    path: Path


class _Frame:
    """A mapping or sequence being read; `key` is the mapping's key whose value comes next."""

    __slots__ = ("anchor", "key", "levels", "merged", "nodes", "path", "value")

    def __init__(self, value: Any, path: Path, anchor: str | None) -> None:
        self.value, self.path, self.anchor = value, path, anchor
        self.key: str | None = None
        self.merged: list[tuple[Any, Place]] = []
        self.nodes = self.levels = 1


class _Builder:
    """Builds plain values from events, counting as it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Any = None
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.as_text: dict[Path, str] = {}
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored] = {}
        self.written: list[WrittenValue] = []
        self.aliases = self.nodes = self.documents = 0

    def add(self, event: Event) -> None:
        place = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, ScalarEvent):
            self.scalar(event, place)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self.open(event, place)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            frame = self.stack.pop()
            self.merge(frame)
            if frame.anchor:
                self.anchors[frame.anchor] = _Anchored(frame.value, frame.nodes, frame.levels, frame.path)
            if self.stack:
                self.stack[-1].nodes += frame.nodes
                self.stack[-1].levels = max(self.stack[-1].levels, frame.levels + 1)
        elif isinstance(event, AliasEvent):
            self.alias(event, place)
        elif isinstance(event, DocumentStartEvent):
            self.document(event, place)

    def document(self, event: DocumentStartEvent, place: Place) -> None:
        self.documents += 1
        if self.documents > 1:
            self.fatal("syntax", "a second document starts here; a configuration file holds one", place)
        if event.version not in (None, (1, 2)) or event.tags:
            self.fatal("directive", "only %YAML 1.2 is read; remove the directive", place)

    def open(self, event: Any, place: Place) -> None:
        kind = "map" if isinstance(event, MappingStartEvent) else "seq"
        if event.tag and str(event.tag) not in ("!", f"tag:yaml.org,2002:{kind}"):
            self.problem("tag", _BAD_TAG, place)
        if len(self.stack) >= MAX_DEPTH:
            self.fatal("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place)
        value: Any = {} if kind == "map" else []
        path = self.here()
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(None, -1, 0, path)
        self.attach(value, place)
        self.stack.append(_Frame(value, path, event.anchor))

    def here(self) -> Path:
        if not self.stack:
            return ()
        frame = self.stack[-1]
        in_mapping = isinstance(frame.value, dict) and frame.key is not None
        return (*frame.path, str(frame.key if in_mapping else len(frame.value)))

    def scalar(self, event: ScalarEvent, place: Place) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self.key(frame, event, place)
            return
        try:
            value = self.plain_value(event, place)
        except InputError as error:
            self.problems.extend(problem._replace(key=dotted(self.here())) for problem in error.problems)
            value = None
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(value, 1, 0, self.here())
        self.written.append(WrittenValue(self.here(), value, event.start_mark.index, event.end_mark.index, place))
        self.attach(value, place)

    def plain_value(self, event: ScalarEvent, place: Place) -> Any:
        tag = str(event.tag) if event.tag else ""
        if tag in _PLAIN_TAGS or (event.style is not None and not tag):
            return checked_text(event.value, place)
        if tag:
            raise InputError(Problem("tag", _BAD_TAG, place=place))
        if not looks_secret(dotted(self.here())) and (note := octal_elsewhere(event.value, dotted(self.here()), place)):
            self.notes.append(note)
        value = scalar(event.value, place)
        if is_text_elsewhere(event.value, value):
            self.as_text[self.here()] = event.value
        return checked_text(value, place) if isinstance(value, str) else value

    def key(self, frame: _Frame, event: ScalarEvent, place: Place) -> None:
        name = frame.key = str(event.value)
        path = (*frame.path, name)
        if event.tag and str(event.tag) not in _PLAIN_TAGS:
            self.problem("tag", _BAD_TAG, place)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(name, 1, 0, path)
        if name == "<<" and event.style is None:
            first = frame.merged[0][1] if frame.merged else None
        else:
            first = self.places[path] if name in frame.value else None
            frame.value.setdefault(name)
            self.places.setdefault(path, place)
        if first is not None:
            self.problem("duplicate_key", f"is a duplicate key; the first is in line {first.line}", place, dotted(path))
        try:
            checked_text(name, place)
        except InputError as error:
            self.problems.extend(error.problems)

    def attach(self, value: Any, place: Place) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fatal("too_large", f"holds more than {MAX_NODES:,} values", place)
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.nodes += 1
        if isinstance(frame.value, list):
            frame.value.append(value)
            return
        if frame.key is None:
            self.fatal("not_a_mapping", "a key must be plain text, not an alias, list or mapping", place)
        key, frame.key = str(frame.key), None
        if key == "<<" and key not in frame.value:
            frame.merged.append((value, place))
        else:
            frame.value[key] = value

    def merge(self, frame: _Frame) -> None:
        """Add the keys of `<<` mappings; the mapping's own are used first, then those of the first `<<`."""
        merged = [(item, at) for value, at in frame.merged for item in (value if isinstance(value, list) else [value])]
        for mapping, place in merged:
            if not isinstance(mapping, dict):
                self.problem("syntax", "<< takes a mapping, or a list of mappings", place, dotted(frame.path))
                continue
            for key, value in mapping.items():
                if key not in frame.value:
                    frame.value[key] = value
                    self.places[(*frame.path, key)] = place

    def alias(self, event: AliasEvent, place: Place) -> None:
        self.aliases += 1
        found = self.anchors.get(event.anchor or "")
        if found is None:
            self.fatal("syntax", "this alias has no anchor; text that begins with * needs quotes", place)
        if found.nodes < 0:
            self.fatal("cycle", "this alias contains itself", place)
        self.nodes += found.nodes
        if self.aliases > MAX_ALIASES or self.nodes > MAX_NODES:
            self.fatal("alias_bomb", f"more than {MAX_ALIASES} aliases, or {MAX_NODES:,} values once expanded", place)
        if len(self.stack) + found.levels > MAX_DEPTH:
            self.fatal("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place)
        if self.stack:
            self.stack[-1].nodes += found.nodes
            self.stack[-1].levels = max(self.stack[-1].levels, found.levels + 1)
        start, end = event.start_mark.index, event.end_mark.index
        self.written.append(WrittenValue(self.here(), found.value, start, end, place, found.path))
        self.attach(found.value, place)

    def problem(self, code: str, message: str, place: Place, key: str = "") -> None:
        self.problems.append(Problem(code, message, key, place))

    def fatal(self, code: str, message: str, place: Place) -> NoReturn:
        raise InputError([*self.problems, Problem(code, message, place=place)])
