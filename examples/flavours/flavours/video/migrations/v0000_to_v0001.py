"""Version 1: version 1 of flavours_base, rotary positions, and a name that differs from the optimiser's."""

from flavours.base.migrations.v0000_to_v0001 import migration as parent
from tttcfg.migration.inherited import inherited

migration = inherited(parent, version=1)
