"""Joins the broker's parts from settings, with the secrets that they need. Entry points use it, and
nothing else does.

    broker                               a Broker, ready to work
    identity, sign_in, oncall            who there is, how they come in, and who is on call
    operator_files                       settings and policies, read again while we run
    admin_password, cookie_keys          secrets that we keep ourselves, or replace
    audit_key                            what signs checkpoints, and tells ours from others
"""
