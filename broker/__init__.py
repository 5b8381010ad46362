"""The broker decides who gets which PostgreSQL role for how long, and makes it so.

    domain/     decisions, pure: requests, grants, policy, credentials, the login's SQL text
    ledger/     every statement on our own database, one module per table
    target/     every statement on managed servers: make a login, give it keys, remove it
    service/    use cases; the only opener of ledger transactions
    reaper      what is due is done, again and again

    settings, policy_file   what the operator wrote, checked
    endpoints, assembly     settings → addresses, logins, keys → a Broker; for entry points
    embedded                a PostgreSQL that pip installed, for the demo and for tests

What always holds: only this package's process has admin credentials; no secret is stored; the
intent is in the ledger before a target is touched; a state change and its audit event commit
together.
"""
