"""PostgreSQL's frontend/backend protocol, without I/O: bytes in, messages out, and back.

https://www.postgresql.org/docs/current/protocol.html
"""
