"""Who is on call, and how they are paged.

    book          a schedule of the settings → the people on call now; remembers answers for a while
    escalations   pages the people on call about a request
    pagerduty     the one vendor, through its SDK
    incident_io   the other, over its HTTP API
    failures      what can go wrong with a vendor, and how long to leave it alone

A vendor that does not answer, or not in a form that we know, has nobody on call: who would be given
access at once has to ask somebody instead. Its own words are never passed on: they may quote a
token.
"""
