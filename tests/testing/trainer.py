"""The family of a small trainer as a package on the disk, with a sound history to be broken by tests."""

from __future__ import annotations

from pathlib import Path

from tests.launcher import python

CONFIG = '''"""The configuration of a small trainer."""

from typing import Annotated

from pydantic import Field

from tttcfg.family.family import Family
from tttcfg.schema.fields import Role, Section, Whole, setting


Stages = list[Annotated[int, Field(ge=0, le=99)]]


class Optim(Section):
    lr: float = setting(0.1, role=Role.TRAINING, unit="dimensionless", description="Learning rate.", ge=0)


class Hub(Section):
    url: str = setting("https://hub", role=Role.RUN, description="Where it uploads.", max_length=200)
    pin: str | None = setting(None, role=Role.SECRET, description="Access.")


class Config(Section):
    width: Whole = setting(64, role=Role.ARCHITECTURE, unit="channels", description="Width.", ge=1)
    optim: Optim = Optim()
    hub: Hub = Hub()
    dropout: float = setting(0.1, role=Role.COMPUTATION, unit="dimensionless", description="Dropout.", ge=0, le=1)
    stages: Stages = setting([1], role=Role.TRAINING, unit="epochs", description="Stages.")


FAMILY = Family(name="trainer", model=Config, migrations="trainer.migrations", schemas="trainer.schemas")
'''
STEP = '''"""Version {version}."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Convert, Declare, Operation, Remove, Rename, Withhold
from tttcfg.schema.paths import pop_path
from tttcfg.schema.fragments import boolean, integer, nullable, number, text

{helpers}
migration = Migration(
    version={version},
    date="2026-01-0{day}",
    summary="step {version}",
    evidence="trainer 0.{version}",
    operations=(
{operations}
    ),
)
'''
STAGES = '{"default": [1], "type": "array", "items": {"maximum": 99, "minimum": 0, "type": "integer"}}'
TEXT = '{"default": "1", "type": "string", "maxLength": 20}'
OPERATIONS = {
    0: [
        'Declare("width", integer(64, minimum=1))',
        'Declare("lr", number(0.1, minimum=0))',
        'Declare("hub.url", {"default": "https://hub", "type": "string", "maxLength": 200})',
        'Declare("hub.pin", nullable(text(None)))',
        'Declare("hub.retries", integer(3, minimum=0))',
    ],
    1: [
        'Withhold("hub.pin", "secrets do not travel")',
        'Rename("lr", "optim.lr", "a section of its own")',
        'Add("dropout", number(0.1, minimum=0, maximum=1), 0.0, "there was no dropout")',
        f'Add("stages", {TEXT}, "1", "there was one stage")',
    ],
    2: [
        'Remove("hub.retries", "nothing read it")',
        f'Convert("stages", numbers, "a list is clearer", {STAGES}, joined)',
    ],
}
HELPERS = {
    0: "",
    1: "",
    2: """
def numbers(value):
    return [int(part) for part in value.split(",")] if isinstance(value, str) else value


def joined(value):
    return ",".join(map(str, value)) if isinstance(value, list) else value

""",
}
NAMES = {0: "v0000", 1: "v0000_to_v0001", 2: "v0001_to_v0002"}
AMEND = """
import json, sys
from pathlib import Path
from tttcfg.documents.downgrade import migrate_tree
from tttcfg.documents.save import canonical_bytes
from tttcfg.family.family import schema_name
from tttcfg.family.json_schema import DIALECT, document_schema
from tttcfg.schema.fragments import RESERVED
from trainer.config import FAMILY

for version in range(FAMILY.head + 1):
    fragment = FAMILY.chain.schema(version)
    reserved = {**RESERVED, "schema_version": {**RESERVED["schema_version"], "const": version}} if version else {}
    urn = f"urn:tttcfg:trainer:v{version:04d}"
    schema = {"$schema": DIALECT, "$id": urn, **fragment, "properties": {**fragment["properties"], **reserved}}
    schema |= {"required": ["schema_version"]} if version else {}
    schema = document_schema(FAMILY, version) if version == FAMILY.head else schema
    Path("trainer/schemas", schema_name(version)).write_text(json.dumps(schema, indent=2) + "\\n")
    path = Path(f"golden/v{version:04d}.json")
    upgraded = canonical_bytes(migrate_tree(json.loads(path.read_bytes()), FAMILY))
    path.with_name(f"v{version:04d}.upgraded.json").write_bytes(upgraded)
"""
GOLDEN = {
    "v0000": '{"width": 32, "lr": 0.5, "hub": {"url": "https://old", "pin": null, "retries": 5}}',
    "v0001": '{"$schema": "urn:tttcfg:trainer:v0001", "schema_version": 1, "width": 32, "optim": {"lr": 0.5}, '
    '"hub": {"url": "https://old", "retries": 5}, "dropout": 0.25, "stages": "1,2", "provenance": {}}',
    "v0002": '{"$schema": "urn:tttcfg:trainer:v0002", "schema_version": 2, "width": 32, "optim": {"lr": 0.5}, '
    '"hub": {"url": "https://old"}, "dropout": 0.25, "stages": [1, 2], "provenance": {}}',
    "meaning/v0000": '{"width": 32, "optim.lr": 0.5, "dropout": 0.0, "stages": [1]}',
    "meaning/v0001": '{"optim.lr": 0.5, "dropout": 0.25, "stages": [1, 2]}',
}
TEST = """import hypothesis.strategies as st
import tttcfg.testing

stages = st.lists(st.integers(0, 99), min_size=1, max_size=3)
texts = stages.map(lambda numbers: ",".join(map(str, numbers)))
TestSchema = tttcfg.testing.laws(
    "trainer.config:FAMILY",
    golden="golden",
    overrides=lambda version: {"stages": texts if version == 1 else stages},
    examples=4,
)
"""
CONFTEST = """from hypothesis import Phase, settings

settings.register_profile("same", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("same")
"""


def write_trainer(folder: Path) -> None:
    """Write the package `trainer`, its golden documents and the test module of its history into `folder`."""
    package = folder / "trainer"
    for inside in (package, package / "migrations", package / "schemas"):
        inside.mkdir(parents=True)
        (inside / "__init__.py").touch()
    (package / "config.py").write_text(CONFIG, encoding="utf-8")
    for version in NAMES:
        write_step(folder, version)
    (folder / "golden" / "meaning").mkdir(parents=True)
    for name, text in GOLDEN.items():
        (folder / "golden" / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / "test_schema.py").write_text(TEST, encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    amend(folder)


def write_step(folder: Path, version: int, operations: list[str] | None = None, helpers: str = "") -> Path:
    """Write the step to `version`, with other operations than the sound ones if given."""
    lines = "".join(f"        {one},\n" for one in operations or OPERATIONS[version]).rstrip("\n")
    text = STEP.format(version=version, day=version + 1, helpers=helpers + HELPERS[version], operations=lines)
    path = folder / "trainer" / "migrations" / f"{NAMES[version]}.py"
    path.write_text(text, encoding="utf-8")
    return path


def amend(folder: Path) -> None:
    """Write the schemas and upgraded golden documents anew, as an author does who trusts the code."""
    python("-c", AMEND, cwd=folder)


def broken_laws(folder: Path) -> tuple[set[str], str]:
    """Run the laws as a process, and return the names of those that fail, with the whole output."""
    words = ("-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--tb=short", "test_schema.py")
    done = python(*words, cwd=folder, env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, code=None)
    assert done.code in (0, 1), done.out + done.err
    lines = [line for line in done.out.splitlines() if line.startswith("FAILED ")]
    return {line.split("::")[2].split(" ")[0].split("[")[0].removeprefix("test_") for line in lines}, done.out
