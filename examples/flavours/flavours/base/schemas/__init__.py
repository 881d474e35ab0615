"""The frozen JSON Schemas of flavours_base, one per version."""
