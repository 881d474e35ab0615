"""How a family's schema changes: what differs, what is missing, and writing the next version."""
