"""The laws of tttcfg, for this extension's history."""

from pathlib import Path

import tttcfg.testing

TestSchema = tttcfg.testing.laws("noise.config:EXTENSION", golden=Path(__file__).with_name("golden"))
