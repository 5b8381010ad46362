"""Words that announce a secret, and secrets that can be told by their looks.

All patterns read what bytes.lower() makes of a text: matching without regard to case is many times
slower, and this is asked of every statement.
"""

import re

# Not these, which are harmless: password_encryption, password_required, ENCRYPTED, pgcrypto.
WORD = re.compile(
    rb"pass(?:word(?!_encryption|_required)|wd|phrase|code)"
    rb"|pwd"
    rb"|(?<![a-z0-9])pass(?![a-z0-9])"
    rb"|secret"
    rb"|credential"
    rb"|(?:access|account|api|auth|encryption|master|private|session|shared|signing)[_ ]?key"
    rb"|(?:access|api|auth|bearer|id|refresh|reset|sas|security|session)_?token"
    rb"|bearer\s"
    rb"|sharedaccess"
    rb"|conninfo"
    rb"|dblink"
    rb"|azure_storage"
    rb"|pgp_"
    rb"|crypt(?!ion|ed|o(?![a-z0-9_]))"  # crypt, encrypt, decrypt, crypto_…
    rb"|digest"
    rb"|hmac"
    rb"|mapping"  # CREATE USER MAPPING … OPTIONS
    rb"|identified"  # IDENTIFIED BY, which is others' SQL
)
# A string that is nothing but a name: a setting's, for one.
NAME = re.compile(rb"[en]?'[\w.]+'?")
# Within a string: a user's password, whatever characters it has.
CONNECTION_STRING = re.compile(rb"://[^/@:]*:[^/]*(?:@|\Z)", re.DOTALL)
BY_LOOKS = re.compile(
    rb"md5(?:[0-9a-f]{32}|[0-9a-f]{1,31}\Z)|scram-sha-256\$[^\s'\"]*"
    rb"|(?<=://)[^\s/@'\":]*+:[^\s@'\"/]*+(?:@|\Z)"
)
# Parts of the above that begin with seldom letters.
_TRACE = re.compile(
    rb"p(?:ass|wd|gp_|ping)|c(?:re[td]|ram-|onn|rypt)|k(?:ey|en)|d(?:access|igest|entified|5)"
    rb"|b(?:link|earer)|zure_|hmac|://"
)


def may_hold_secret(text: bytes) -> bool:
    """Say quickly whether `mask` has to look at it."""
    return _TRACE.search(text.lower()) is not None
