"""The trainer for video."""
