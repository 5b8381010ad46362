"""A whole pgcurfew on one machine, for a first look: an embedded PostgreSQL that is ledger and
target at once, a small sample database, and the real `pgcurfew serve` over it.
"""
