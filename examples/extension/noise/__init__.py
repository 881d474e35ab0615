"""A trainer's own settings, as an extension of the Moshi TTT trainer's."""
