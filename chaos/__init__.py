"""Proof that no refund is lost and none sent twice: everything breaks, then the books are compared.

``python -m chaos`` runs on PostgreSQL, Valkey and a sandbox of its own (docs/reliability.md).
"""
