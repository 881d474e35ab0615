"""Version 0: dropout, and stopping early."""

from tttcfg.migration.chain import Migration
from tttcfg.migration.operations import Add
from tttcfg.schema.fragments import integer, number

WITHOUT = "the trainer did without it"

migration = Migration(
    version=0,
    date="2026-01-01",
    summary="dropout, and stopping early",
    evidence="noise 0.1",
    operations=(
        Add("drop", number(0.1, minimum=0, exclusiveMaximum=1), 0.0, WITHOUT),
        Add("patience", integer(5, minimum=1), 1000, WITHOUT),
    ),
)
