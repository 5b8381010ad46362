"""TLS towards servers that we log in to, the ledger and the targets, and towards issuers."""

import ssl
from functools import cache

from broker.domain.server import ServerAddress, TlsMode


def tls_context(address: ServerAddress) -> ssl.SSLContext | None:
    """Return how to talk to `address`, or None for in the clear.

    Raises OSError when the root certificate cannot be read.
    """
    if address.tls is TlsMode.DISABLE:
        return None
    context = ssl.create_default_context(cafile=address.root_certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # From 17 on, PostgreSQL picks it and so proves that it is no other service with the same
    # certificate; earlier ones ignore it.
    context.set_alpn_protocols(["postgresql"])
    # From Python 3.13 on, strict checks refuse what libpq accepts, and what PostgreSQL's own
    # documentation tells how to make: certificates without an authority key identifier.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if address.tls is TlsMode.REQUIRE:
        # The operator asked for encryption without a name check, as libpq's `require` gives.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if address.root_certificate else ssl.CERT_NONE
    return context


@cache
def web_context(root_certificate: str | None = None) -> ssl.SSLContext:
    """Return how to talk to web servers and their like: with what this machine trusts, or with
    this root only, read once. Raises OSError."""
    context = ssl.create_default_context(cafile=root_certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
