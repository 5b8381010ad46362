"""Use cases: what a person or the clock makes the broker do.

The only opener of ledger transactions. A state change, its audit event and the NOTIFY to the
proxies commit together; a target is touched only after its intent is committed.
"""
