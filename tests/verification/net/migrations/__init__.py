"""The history of the family."""
