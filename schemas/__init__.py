"""The frozen JSON Schemas, one folder per family; installed as `tttcfg.schemas`."""
