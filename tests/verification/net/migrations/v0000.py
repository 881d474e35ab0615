"""Version 0."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Declare
from tttcfg.schema.fragments import integer, number

migration = Migration(
    version=0,
    date="2026-01-01",
    summary="the first",
    evidence="net 0.1",
    operations=(
        Declare("width", integer(8, minimum=1)),
        Declare("depth", integer(2, minimum=1)),
        Declare("slope", number(0.5)),
    ),
)
