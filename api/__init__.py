"""Every door for people and programs: HTTP, and the command line, which is its client.

A handler parses, makes one call into broker.service, and renders. No SQL, no policy, no decisions.
"""
