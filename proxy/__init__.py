"""The proxy lets people in, with PostgreSQL's own protocol, and shows them out at the curfew.

    wire/                                   bytes ↔ messages, pure, under limits
    startup, scram, upstream, ipfilter …    decisions, pure: messages and addresses in, answers out
    reception → opening                     everybody who knocks, until they say who they are
    authentication → session → relay        one session, from its first message to its goodbye
    dial                                    the target's side
    stream, tls_transport, tls              messages and encryption over a connection
    gate, news, registry                    the ledger's side, and who is in
    rules, assembly                         what the operator decides, and reading it
    refusals                                what people are told
    server, worker, supervisor, __main__    processes

What always holds: no admin credential, nor any module that knows one, is ever loaded here; nobody
is let in unless their grant is alive now and the session is written down; until a secret is proved,
an unknown login and a wrong secret are one and the same.
"""
