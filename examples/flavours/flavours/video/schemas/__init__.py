"""The frozen JSON Schemas of flavours_video, one per version."""
