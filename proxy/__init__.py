"""The proxy lets people in, with PostgreSQL's own protocol, and shows them out at the curfew.

    wire/                                 bytes ↔ messages, pure, under limits
    startup, scram, upstream, ipfilter    decisions, pure: messages in, commands out
    opening → authentication → session    one client from accept to goodbye
    dial, relay                           the target's side, and the hot path
    gate, registry                        the ledger's side, and who is in
    refusals                              what people are told
    server, worker, supervisor, __main__  processes

What always holds: no admin credential, nor any module that knows one, is ever loaded here; nobody
is let in unless their grant is alive now and the session is written down; until a secret is proved,
an unknown login and a wrong secret are one and the same.
"""
