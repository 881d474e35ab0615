"""The job that is measured: a checkpoint, a configuration file for something else, and three overrides."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import tttcfg

HERE = Path(__file__).parent
CONFIG = HERE / "job.yaml"
OLD = HERE / "version3.json"
OVERRIDES = ("ttt.mini_batch_size=32", "batch_size=4", "optim.lr=2e-5")
TRAINED_WITH = ("ttt.layers=[8,9,10,11]", "lora.rank=128", "seed=7")
MODEL = {"dim": 4096, "num_heads": 32, "num_layers": 32, "context": 3000, "card": 2048, "lora": True}
WRITTEN_AT = datetime(2026, 1, 1, tzinfo=timezone.utc)


def write_checkpoint(folder: Path) -> Path:
    """Write a checkpoint of the current version, without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = tttcfg.resolve(config=CONFIG, overrides=TRAINED_WITH)
    tttcfg.save_document(folder, trained, written_at=WRITTEN_AT)
    (folder / "config.json").write_text(json.dumps(MODEL, indent=2), "utf-8")
    return folder
