"""What the source of a class states about its fields: the text below one, the comment beside it or above it.

These are where simple-parsing, draccus and tyro take their help from.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping

_NO_TEXT = re.compile(r"(noqa|type:|fmt:|pylint:|pyright:|mypy:|ruff:|pragma|TODO|FIXME|XXX|-{3,}|={3,}|#|!)")
_ENTRY = re.compile(r"^(\s*)(?::param )?(\w+)(?:\s*\([^)]*\))?:\s+(\S.*)$")


def field_comments(model: type) -> dict[str, str]:
    """Return what the source states about each field of a class, those that it inherits included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(base))
            definition = ast.parse(source).body[0]
        except (OSError, TypeError, SyntaxError, IndexError, ValueError):
            continue  # no source, as of a class that a program makes
        if isinstance(definition, ast.ClassDef):
            found |= _of_docstring(ast.get_docstring(definition) or "")
            found |= dict(_of_fields(definition, _comments(source), source.splitlines()))
    return found


def _comments(source: str) -> dict[int, str]:
    """Return the comment on each line, without what is for tools."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts = {one.start[0]: one.string.lstrip("#:").strip() for one in tokens if one.type == tokenize.COMMENT}
    return {line: text for line, text in texts.items() if text and not _NO_TEXT.match(text)}


def _of_fields(definition: ast.ClassDef, comments: Mapping[int, str], lines: list[str]) -> Iterator[tuple[str, str]]:
    for node, following in zip(definition.body, [*definition.body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        below = following.value if isinstance(following, ast.Expr) else None
        beside = comments.get(node.end_lineno or node.lineno, "")
        if isinstance(below, ast.Constant) and isinstance(below.value, str):
            yield node.target.id, below.value
        elif beside or node.lineno in comments:
            yield node.target.id, beside or comments[node.lineno]
        elif above := " ".join(_above(node.lineno, comments, lines)):
            yield node.target.id, above


def _above(line: int, comments: Mapping[int, str], lines: list[str]) -> list[str]:
    """Return the comments on the lines directly above one, which have nothing else."""
    found: list[str] = []
    while line > 1 and lines[line - 2].lstrip().startswith("#"):
        line -= 1
        found.insert(0, comments.get(line, ""))
    return list(filter(None, found))


def _of_docstring(docstring: str) -> dict[str, str]:
    """Return the entries `name: text` of a docstring, as `Attributes:` and `:param name:` have them."""
    found: dict[str, str] = {}
    name, depth = "", 0
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if entry := _ENTRY.match(line):
            name, depth = entry[2], indent
            found[name] = entry[3].strip()
        elif name and line.strip() and indent > depth:
            found[name] += f" {line.strip()}"
        else:
            name = ""
    return found


def sentence(text: str) -> str:
    """Return the first paragraph of a text as one sentence or more: in one line, with a capital and a full stop."""
    paragraph = " ".join(re.split(r"\n\s*\n", inspect.cleandoc(text).strip(), maxsplit=1)[0].split())
    if len(paragraph) > _LONGEST:
        whole = paragraph[:_LONGEST].rpartition(". ")[0]
        paragraph = f"{whole}." if whole else textwrap.shorten(paragraph, _LONGEST, placeholder=" …")
    paragraph = paragraph[:1].upper() + paragraph[1:]
    return paragraph if not paragraph or paragraph.endswith((".", "…", "?", "!")) else f"{paragraph.rstrip(':;,')}."


_LONGEST = 300
"""Characters of a description; longer texts are cut at the end of a sentence."""
