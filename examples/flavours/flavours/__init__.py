"""A trainer with two flavours, each a family that inherits from the base."""
