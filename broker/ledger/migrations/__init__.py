"""Alembic revisions of the ledger: applied in order, never edited once released."""
