"""Documents with a secret wherever a document of that version could hold one."""

from __future__ import annotations

from collections.abc import Iterator

from tttcfg.family.family import Family
from tttcfg.migration.operations import Withhold
from tttcfg.schema.fragments import Shape, shape_at
from tttcfg.schema.paths import Tree, copied, set_path, split

SECRET = "a-secret-that-nobody-may-see"


def with_secrets(document: Tree, family: Family, version: int) -> Tree:
    """Return a document with `SECRET` in all fields of it that are secret today, or withheld, and in free-form ones.

    Not in a free-form field that is still there today: what it holds is no business but the program's.
    """
    tree: Tree = copied(document)
    schema = family.chain.schema(version)
    steps = family.chain.migrations
    today = {field.name for field in family.secret_fields}
    once = {old for old, now in family.chain.spellings.items() if now in today}
    withheld = {one.path for step in steps for one in step.operations if isinstance(one, Withhold)}
    for name in sorted(today | once | withheld):
        if shape_at(schema, split(name)) is not None:
            set_path(tree, split(name), SECRET)
    for name, mapping in _free_form(tree, schema, ""):
        if family.chain.spellings.get(name, name) not in family.fields:
            mapping["api_key"] = SECRET
    return tree


def _free_form(tree: Tree, schema: Shape, prefix: str) -> Iterator[tuple[str, Tree]]:
    """Yield every free-form mapping with its dotted path."""
    for name, shape in schema["properties"].items():
        below = tree.get(name)
        if isinstance(below, dict) and "properties" in shape:
            yield from _free_form(below, shape, f"{prefix}{name}.")
        elif isinstance(below, dict) and shape.get("additionalProperties") is True:
            yield f"{prefix}{name}", below
