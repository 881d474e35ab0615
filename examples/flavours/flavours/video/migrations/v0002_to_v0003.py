"""Version 3: version 2 of flavours_base, GELU by its name, and a bound of the gradient."""

from flavours.base.migrations.v0001_to_v0002 import migration as parent
from tttcfg.migration.inherited import inherited

migration = inherited(parent, version=3)
