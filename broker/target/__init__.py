"""All SQL on managed servers. Only the broker imports this: nobody else can name an admin.

Every statement here runs under a lock timeout and a statement timeout, and every error leaves as
TargetUnreachable or TargetRefused.
"""
