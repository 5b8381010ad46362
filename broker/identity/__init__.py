"""Outside issuers: their keys over HTTPS, and whether a token was signed with one of them.

What a verified token then means is decided in `broker.domain.identity`.
"""
