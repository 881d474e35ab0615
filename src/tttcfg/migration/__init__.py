"""How a document of one schema version becomes one of the next: operations, chains and records.

Migrations, and the folders below it in `docs/architecture.md`, may import it; it depends on no field by name.
"""
