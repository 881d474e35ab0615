"""How a document of one schema version becomes one of the next: operations, chains and records.

Families, documents and migrations import it; it knows no field by name.
"""
