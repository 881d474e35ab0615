"""The laws that each of the families holds its own history to, in one line of its own tests."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from tests.examples_families.conftest import FLAVOURS, IN_PLACE, NOISE, VIDEO


def laws_of(home: Path) -> ModuleType:
    spec = spec_from_file_location(f"laws_of_{home.name}", home / "tests" / "test_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TestMoshiInPlace = laws_of(IN_PLACE).TestSchema
TestTTTVideoDit = laws_of(VIDEO).TestSchema
TestNoise = laws_of(NOISE).TestSchema
FLAVOURS_LAWS = laws_of(FLAVOURS)
TestFlavoursBase, TestFlavoursSpeech, TestFlavoursVideo = (
    FLAVOURS_LAWS.TestBase,
    FLAVOURS_LAWS.TestSpeech,
    FLAVOURS_LAWS.TestVideo,
)
