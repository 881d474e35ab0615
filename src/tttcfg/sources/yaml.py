"""YAML 1.2 with places: built from ruamel.yaml's events, so that nothing is expanded before it is counted."""

from __future__ import annotations

from typing import Any

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

from tttcfg.errors import InputError, Place, Problem, quote
from tttcfg.fields import Path
from tttcfg.sources.text import MAX_DEPTH, MAX_NODES, Tree, checked_text, scalar

MAX_ALIASES = 100
_PLAIN_TAGS = ("tag:yaml.org,2002:str", "!")


def read_yaml(text: str, file: str) -> Tree:
    """Read one YAML document that holds a mapping.

    Raises:
        InputError: It is no such document, or breaks a cap; every problem that could be found is named.
    """
    value, places = parse_yaml(text, file)
    if value is None:
        raise InputError(Problem("empty", "holds no configuration", place=Place(file)))
    if not isinstance(value, dict):
        raise InputError(
            Problem("not_a_mapping", f"holds {quote(value)}, not a mapping of keys to values", place=Place(file, 1, 1))
        )
    return Tree(value, places, file)


def parse_yaml(text: str, file: str) -> tuple[Any, dict[Path, Place]]:
    """Read one YAML document of any kind, with the place of every key."""
    if "\t" in text:
        _refuse_tabs(text, file)
    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        message = " ".join(part for part in (error.context, error.problem) if part)
        builder.problems.append(Problem("syntax", message, place=place))
    except (YAMLError, ValueError) as error:
        builder.problems.append(Problem("syntax", str(error).partition("\n")[0], place=Place(file)))
    except RecursionError:
        builder.problems.append(Problem("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place=Place(file)))
    if builder.problems:
        raise InputError(builder.problems)
    return builder.root, builder.places


def _refuse_tabs(text: str, file: str) -> None:
    problems = [
        Problem("syntax", "a tab indents this line; YAML indents with spaces", place=Place(file, number, 1))
        for number, line in enumerate(text.split("\n"), 1)
        if "\t" in line[: len(line) - len(line.lstrip())] and line.strip() and not line.strip().startswith("#")
    ]
    if problems:
        raise InputError(problems)


class _Frame:
    """A mapping or sequence being read; `key` is the mapping's key whose value comes next."""

    __slots__ = ("anchor", "key", "merged", "nodes", "path", "value")

    def __init__(self, value: Any, path: Path, anchor: str | None) -> None:
        self.value, self.path, self.anchor = value, path, anchor
        self.key: str | None = None
        self.merged: list[tuple[Any, Place]] = []
        self.nodes = 1


class _Builder:
    """Builds plain values from events, counting as it goes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Any = None
        self.places: dict[Path, Place] = {}
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.aliases = self.nodes = self.documents = 0

    def take(self, event: Event) -> None:
        place = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, ScalarEvent):
            self.scalar(event, place)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self.open(event, place)
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            frame = self.stack.pop()
            self.merge(frame)
            if frame.anchor:
                self.anchors[frame.anchor] = (frame.value, frame.nodes)
            if self.stack:
                self.stack[-1].nodes += frame.nodes
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
        if event.tag and not str(event.tag).startswith("tag:yaml.org,2002:"):
            self.problem("tag", f"the tag {quote(str(event.tag))} is not read; configurations hold plain data", place)
        if len(self.stack) >= MAX_DEPTH:
            self.fatal("too_deep", f"is nested deeper than {MAX_DEPTH} levels", place)
        value: Any = {} if isinstance(event, MappingStartEvent) else []
        path = self.here()
        if event.anchor:
            self.anchors[event.anchor] = (None, -1)
        self.attach(value, place)
        self.stack.append(_Frame(value, path, event.anchor))

    def here(self) -> Path:
        if not self.stack:
            return ()
        frame = self.stack[-1]
        return (
            *frame.path,
            frame.key if isinstance(frame.value, dict) and frame.key is not None else str(len(frame.value)),
        )

    def scalar(self, event: ScalarEvent, place: Place) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self.key(frame, event.value, event.style is None, place)
            return
        try:
            value = self.meaning(event, place)
        except InputError as error:
            self.problems.extend(problem._replace(key=".".join(self.here())) for problem in error.problems)
            value = None
        if event.anchor:
            self.anchors[event.anchor] = (value, 1)
        self.attach(value, place)

    def meaning(self, event: ScalarEvent, place: Place) -> Any:
        tag = str(event.tag) if event.tag else ""
        if tag in _PLAIN_TAGS or (event.style is not None and not tag):
            return checked_text(event.value, place)
        if tag:
            raise InputError(
                Problem("tag", f"the tag {quote(tag)} is not read; configurations hold plain data", place=place)
            )
        return checked_text(value, place) if isinstance(value := scalar(event.value, place), str) else value

    def key(self, frame: _Frame, name: str, plain: bool, place: Place) -> None:
        frame.key = name
        path = (*frame.path, name)
        if name in frame.value:
            first = self.places[path]
            self.problem("duplicate_key", f"stands twice; the first is in line {first.line}", place, ".".join(path))
        elif not (name == "<<" and plain):
            self.places[path] = place
            frame.value[checked_text(name, place)] = None

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
            self.fatal("not_a_mapping", "a key must be plain text, not a list or mapping", place)
        key, frame.key = str(frame.key), None
        if key == "<<" and key not in frame.value:
            frame.merged += [(item, place) for item in (value if isinstance(value, list) else [value])]
        else:
            frame.value[key] = value

    def merge(self, frame: _Frame) -> None:
        """Add the keys of `<<` mappings; a key that is written out wins, then the first mapping that has it."""
        for mapping, place in frame.merged:
            if not isinstance(mapping, dict):
                self.problem("syntax", "<< takes a mapping, or a list of mappings", place, ".".join(frame.path))
                continue
            for key, value in mapping.items():
                if key not in frame.value:
                    frame.value[key] = value
                    self.places[(*frame.path, key)] = place

    def alias(self, event: AliasEvent, place: Place) -> None:
        self.aliases += 1
        value, nodes = self.anchors.get(event.anchor or "", (None, 0))
        if nodes == 0:
            self.fatal("syntax", f"no anchor is called {quote(event.anchor)}", place)
        if nodes < 0:
            self.fatal("cycle", f"the alias {quote(event.anchor)} contains itself", place)
        self.nodes += nodes
        if self.aliases > MAX_ALIASES or self.nodes > MAX_NODES:
            self.fatal("alias_bomb", f"more than {MAX_ALIASES} aliases, or {MAX_NODES:,} values once expanded", place)
        if self.stack:
            self.stack[-1].nodes += nodes
        self.attach(value, place)

    def problem(self, code: str, message: str, place: Place, key: str = "") -> None:
        self.problems.append(Problem(code, message, key, place))

    def fatal(self, code: str, message: str, place: Place) -> None:
        raise InputError([*self.problems, Problem(code, message, place=place)])
