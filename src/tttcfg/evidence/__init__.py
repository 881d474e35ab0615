"""What the names and shapes of tensors prove, and the base of every verifier.

Families declare their knowledge of tensors with it. The folders below it in `docs/architecture.md` may import it.
"""
