"""A copy of what is on record for others: a SIEM, say.

address                              where it goes
sending                              what sends there
sender, syslog, https                lines of JSON over TLS syslog or HTTPS
"""
