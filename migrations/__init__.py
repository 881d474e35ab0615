"""The schema histories, one package per family; installed as `tttcfg.migrations`."""
