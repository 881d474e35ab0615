"""The trainer for speech."""
