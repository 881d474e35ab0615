"""The family of a third-party trainer, as a package on the disk: the least that has to be written."""

from __future__ import annotations

from pathlib import Path

MODEL = '''"""The configuration of another trainer."""

from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, Section, setting


class Config(Section):
    width: int = setting(64, role=Role.ARCHITECTURE, unit="channels", description="How wide the model is.")
    learning_rate: float = setting(0.1, role=Role.TRAINING, unit="dimensionless", description="Learning rate.")


FAMILY = Family(name="other", model=Config, migrations="other.migrations", schemas="other.schemas")
'''
FIRST = '''"""Version 0."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fragments import integer, number

migration = Migration(
    version=0,
    date="2026-01-01",
    summary="the first",
    evidence="other 0.1",
    operations=(
        Declare("width", {"default": 64, "type": "integer"}),
        Declare("learning_rate", {"default": 0.1, "type": "number"}),
    ),
)
'''
REFERENCE = "other.config:FAMILY"


def write_family(folder: Path) -> Path:
    """Write the package `other` into `folder`, and return it."""
    package = folder / "other"
    for inside in (package, package / "migrations", package / "schemas"):
        inside.mkdir(parents=True)
        (inside / "__init__.py").touch()
    (package / "config.py").write_text(MODEL, encoding="utf-8")
    (package / "migrations" / "v0000.py").write_text(FIRST, encoding="utf-8")
    return package


def install(folder: Path, distribution: str, group: str, points: dict[str, str]) -> None:
    """Let `folder` hold a distribution that declares entry points, as pip would have written it."""
    home = folder / f"{distribution}-1.0.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (home / "entry_points.txt").write_text(f"[{group}]\n{lines}", encoding="utf-8")
