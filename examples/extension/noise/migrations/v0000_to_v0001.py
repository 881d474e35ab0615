"""Version 1: a clear name, and the cache's folder."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add, Rename
from tttcfg.schema.fragments import text

migration = Migration(
    version=1,
    date="2026-02-01",
    summary="a clear name, and the cache's folder",
    evidence="noise 0.2",
    operations=(
        Rename("drop", "dropout", "the whole word"),
        Add("cache", text("cache"), "/tmp", "it kept its files there"),
    ),
)
