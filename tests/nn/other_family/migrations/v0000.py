"""Version 0."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fragments import boolean, integer, number, text

migration = Migration(
    version=0,
    date="2026-01-01",
    summary="the first",
    evidence="other 0.1",
    operations=(
        Declare("width", integer(8, minimum=1)),
        Declare("slope", number(0.5)),
        Declare("lr", number(0.1, minimum=0)),
        Declare("precision", text("float32")),
        Declare("fresh", boolean(False)),
    ),
)
