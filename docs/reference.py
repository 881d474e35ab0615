"""The page of the public API: what each name is for, its signature and its docstring, grouped by what readers do.

Both are taken from the source as it is written there, without importing it: torch is not needed, and the page is the
same under every Python.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent / "src"
GROUPS: dict[str, dict[str, str]] = {
    "Resolve and verify": {
        "tttcfg": "resolve verify inspect_weights explain diff find_checkpoint read_model_config override_texts "
        "concrete_layers",
    },
    "Save and bind": {
        "tttcfg": "from_any save_document load_document migrate_document to_dict to_yaml tag_for canonicalize_header"
        " bind adopt",
    },
    "Configurations and results": {
        "tttcfg": "TrainingArgs TTTConfig Effective Origin Verification Binding Difference Document Checkpoint",
    },
    "Checkpoint folders": {
        "tttcfg.nn": "Checkpointer restore Restored load_checkpoint Loaded Resumed delete_checkpoints foreign_files "
        "fingerprint check_computation Computation",
    },
    "Layers and adapters": {
        "tttcfg.nn": "add_ttt carrying_states reset_states TTTLayer HybridLayer SequenceModelingBlock SplitLayer "
        "reference_layer add_lora LoRALinear adapter_state_dict merged_state_dict",
    },
    "Kernels": {
        "tttcfg.nn": "Kernel Limit register unregister choose_kernel check_kernel torch_scan reference_scan ScanInputs "
        "ScanOptions WrongKernelError",
    },
    "Recovery": {
        "tttcfg.nn": "recover Recovery Answer Trial write_recovered require_unrecorded check_training"
        " TrainingCheck Evidence set_computation batch_gradients Gradients Products Estimate AdamMetric"
    },
    "Several ranks": {"tttcfg.nn": "resolve_together agree together on_first rank world_size"},
    "Declare a family or an extension": {
        "tttcfg": "Family Extension register PluggedVariant register_variant Section setting guessed Role Text Whole "
        "ForeignFormat Derived",
        "tttcfg.nn": "TrainingSide",
        "tttcfg.ttt_moshi.evaluation": "EvaluationArgs PairsWithGold Pairs Streaming LibriLight LongContext",
    },
    "Write a migration": {
        "tttcfg.migration.chain": "Migration",
        "tttcfg.migration.inherited": "inherited",
        "tttcfg.migration.operations": (
            "Operation Declaration Declare Add By Computed Remove RemoveRest Rename Convert Redeclare"
            " Promote Withhold Doubt"
        ),
        "tttcfg.migration.reshaping": "Merge Split",
        "tttcfg.migration.held": "Within RenameVariant",
        "tttcfg.schema.fragments": (
            "boolean integer number text choice nullable either follows free_form section Fragment"
        ),
    },
    "Describe tensors": {
        "tttcfg.evidence.knowledge": "TensorKnowledge",
        "tttcfg.evidence.verifier": "Verifier Verdict VERIFIED",
        "tttcfg.evidence.evidence": "Evidence Proof",
        "tttcfg.evidence.dialects.dialect": "Dialect Base Inner Axes INDEX",
        "tttcfg.safetensors.header": "Header",
        "tttcfg.files.storage": "read_bytes",
    },
    "Test a family": {"tttcfg.testing": "laws documents values validator frozen_schema UnsupportedSchema"},
    "Errors": {
        "tttcfg": "TttcfgError InputError ContradictionError NewerVersionError ForeignDocumentError LossError "
        "WriteError RankError Problem Place quote",
    },
}
"""The public names by group and by the module that they are imported from."""

INTRODUCTION = {
    "Configurations and results": "The fields of `TrainingArgs` and `TTTConfig` are listed in [fields](fields.md).",
    "Checkpoint folders": "`tttcfg.nn` needs torch: `pip install 'tttcfg[torch]'`.",
    "Layers and adapters": "[Layers](layers.md) describes what they compute.",
    "Kernels": "[Layers](layers.md#kernels) has an example.",
    "Declare a family or an extension": "The [tutorial](tutorial.md) declares one step by step. The sections of the "
    "built-in family's `evaluation` are public for programs that run the benchmarks.",
    "Write a migration": "`tttcfg schema new` writes these imports into migrations, which are never changed after "
    "their release; so the four modules keep their names.",
    "Describe tensors": "For `Family.tensors`. A family without it needs none of these.",
    "Test a family": "[Testing](testing.md) describes the laws.",
    "Errors": "[Errors](errors.md) lists the codes. Every exception is a `TttcfgError`.",
}
SETTING = re.compile(r"= (setting|_run)\(|= [A-Z]\w+\(\)$|= ConfigDict\(")
"""What declares a field of a configuration; `fields.md` lists those."""
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):")
FACADE = ("tttcfg.api", "tttcfg.errors")
"""The modules whose names `tttcfg` has."""


class Definition(NamedTuple):
    """Where a name is defined: its statement, the docstring, and the source of its module."""

    node: ast.stmt
    docstring: str
    source: str

    @property
    def members(self) -> Iterator[Definition]:
        """The public methods and properties of a class that have a docstring."""
        for node in self.node.body if isinstance(self.node, ast.ClassDef) else ():
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node):
                yield Definition(node, ast.get_docstring(node) or "", self.source)

    @property
    def signature(self) -> str:
        """What the source has before the body; of a class, with its fields, or what it is made with."""
        if not isinstance(self.node, (ast.ClassDef, ast.FunctionDef)):
            return self.text(self.node)
        lines = self.before_body(self.node).splitlines()
        if isinstance(self.node, ast.ClassDef):
            protocol = "Protocol" in map(ast.unparse, self.node.bases)
            for node in self.node.body:
                lines += [f"    {line}" for line in self.part(node, protocol).splitlines()]
        return "\n".join(lines)

    def part(self, node: ast.stmt, protocol: bool) -> str:
        """Return what the signature of a class shows of a statement in it: a field, a member, or how one is made."""
        if isinstance(node, ast.FunctionDef):
            return self.before_body(node) if protocol or node.name == "__init__" else ""
        if not isinstance(node, (ast.AnnAssign, ast.Assign)) or SETTING.search(source := self.text(node)):
            return ""
        return "" if source.startswith("_") else source

    def text(self, node: ast.stmt) -> str:
        return ast.get_source_segment(self.source, node) or ""

    def before_body(self, node: ast.ClassDef | ast.FunctionDef) -> str:
        """Return the lines of a definition up to its body, without the indent."""
        lines = self.source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
        if not lines:  # the body is on the same line
            lines = [self.source.splitlines()[node.lineno - 1].rpartition(": ")[0] + ":"]
        decorators = [f"@{ast.unparse(one)}" for one in node.decorator_list if ast.unparse(one) in SHOWN_DECORATORS]
        return "\n".join([*decorators, cleandoc("\n".join(lines)).partition("  # noqa")[0]])


SHOWN_DECORATORS = ("property", "cached_property", "classmethod", "staticmethod", "contextmanager")


def public_names() -> dict[str, set[str]]:
    """Return the documented names of every public module."""
    names: dict[str, set[str]] = {}
    for modules in GROUPS.values():
        for module, listed in modules.items():
            names.setdefault(module, set()).update(listed.split())
    return names


def api_page() -> str:
    page = (
        "# Python API\n\nThe names on this page are public, and are imported from the module that is shown with them.\n"
    )
    page += "All others are internal, and may change with any release.\n"
    for title, modules in GROUPS.items():
        names = [(module, name) for module, listed in modules.items() for name in listed.split()]
        found = [(f"{module}.{name}", definition(module, name)) for module, name in names]
        page += f"\n## {title}\n\n" + (f"{INTRODUCTION[title]}\n\n" if title in INTRODUCTION else "")
        page += " · ".join(f"[{name.rpartition('.')[2]}](#{anchor(name)})" for name, _ in found) + "\n"
        page += "".join(f"\n### {name}\n\n{described(one)}" for name, one in found)
    return page


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def described(one: Definition) -> str:
    """Return the signature and the whole docstring of a name, and those of the members of a class."""
    text = f"```text\n{one.signature}\n```\n\n{markdown(one.docstring)}\n"
    return text + "".join(f"\n{described(member)}" for member in one.members)


def definition(module: str, name: str) -> Definition:
    """Return where a module defines a name, or where it has it from."""
    for home in FACADE if module == "tttcfg" else (module,):
        source, body = parsed(home)
        for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
                return Definition(node, required(ast.get_docstring(node), name), source)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                return Definition(node, required(text_of(after), name), source)
            if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                return definition(str(node.module), name)
    raise SystemExit(f"{module} has no {name}")


def exported(module: str) -> set[str]:
    """Return what a module's `__all__` lists."""
    named = (
        one for one in parsed(module)[1] if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__all__"
    )
    return set(ast.literal_eval(next(named).value))


def required(docstring: str | None, name: str) -> str:
    if not docstring:
        raise SystemExit(f"{name} is public and has no docstring")
    return docstring


def text_of(node: ast.stmt) -> str:
    """Return the text that a statement is; empty where it is another one."""
    value = node.value if isinstance(node, ast.Expr) else None
    return cleandoc(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


@cache
def parsed(module: str) -> tuple[str, list[ast.stmt]]:
    """Return the source of a module and its statements."""
    path = SOURCE / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    return source, ast.parse(source).body


def markdown(docstring: str) -> str:
    """Return a docstring in Google's style as Markdown: its sections become lists."""
    parts: list[str] = []
    for block in docstring.split("\n\n"):
        title, _, body = block.partition("\n")
        if SECTION.fullmatch(title):
            parts.append(f"{title}\n\n{listed(dedent(body))}")
        elif block.startswith("    "):
            parts.append(f"```text\n{dedent(block)}\n```")
        else:
            parts.append(block)
    return "\n\n".join(parts)


def listed(body: str) -> str:
    """Return the entries of a section as a list: each begins at the margin, and goes on indented."""
    entries = [entry.partition(": ") for entry in re.split(r"\n(?=\S)", body)]
    if not all(re.fullmatch(r"[\w.*]+(, \w+)*", name) and text for name, _, text in entries):
        return " ".join(body.split())
    return "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, _, text in entries)
