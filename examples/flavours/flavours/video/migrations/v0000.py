"""Version 0: version 0 of flavours_base, the trainer's first settings."""

from flavours.base.migrations.v0000 import migration as parent
from tttcfg.migration.inherited import inherited

migration = inherited(parent, version=0)
