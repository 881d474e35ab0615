"""The frozen JSON Schemas of flavours_speech, one per version."""
