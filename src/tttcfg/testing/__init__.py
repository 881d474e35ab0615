"""Laws for the history of any family's schema, as pytest tests. No other folder imports it.

One line in a test module of the trainer:

    TestSchema = tttcfg.testing.laws("my_trainer.config:FAMILY", golden="tests/golden")
"""

from importlib.util import find_spec

_missing = [name for name in ("hypothesis", "jsonschema", "pytest") if find_spec(name) is None]
if _missing:
    raise ImportError(f"tttcfg.testing needs {', '.join(_missing)}: pip install 'tttcfg[testing]'")

import pytest  # noqa: E402 the error for missing packages comes first

pytest.register_assert_rewrite("tttcfg.testing.suite", "tttcfg.testing.assertions", "tttcfg.testing.parent")

from tttcfg.family.family import frozen_schema  # noqa: E402 see above
from tttcfg.testing.suite import laws  # noqa: E402
from tttcfg.testing.values import UnsupportedSchema, documents, validator, values  # noqa: E402

__all__ = ["UnsupportedSchema", "documents", "frozen_schema", "laws", "validator", "values"]
