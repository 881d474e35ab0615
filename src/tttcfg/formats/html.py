"""Tables in HTML, for notebooks: no script, no style but what follows the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

Row = Sequence[str]


def sections_html(title: str, notes: Iterable[str], columns: Row, sections: Mapping[str, Iterable[Row]]) -> str:
    """Return a title, notes below it, and a table of rows for each section, which can be folded away.

    Everything is text: markup in it is shown as it is.
    """
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<details open><summary><code>{escape(name)}</code></summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, rows))}</tbody></table></details>"
        for name, rows in sections.items()
    )
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<div><p><strong>{escape(title)}</strong></p>{items and f'<ul>{items}</ul>'}{body}</div>"


def _row(cells: Row) -> str:
    return f"<tr>{''.join(f'<td style=text-align:left>{escape(cell)}</td>' for cell in cells)}</tr>"
