"""TLS towards servers that we log in to: the ledger and the targets."""

import ssl

from broker.domain.server import ServerAddress, TlsMode


def tls_context(address: ServerAddress) -> ssl.SSLContext | None:
    """Return how to talk to `address`, or None for in the clear.

    Raises OSError when the root certificate cannot be read.
    """
    match address.tls:
        case TlsMode.DISABLE:
            return None
        case TlsMode.VERIFY_FULL:
            return ssl.create_default_context(cafile=address.root_certificate)
        case TlsMode.REQUIRE:
            context = ssl.create_default_context(cafile=address.root_certificate)
            # The operator asked for encryption without a name check, as libpq's `require` gives.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED if address.root_certificate else ssl.CERT_NONE
            return context
