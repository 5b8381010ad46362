"""What binds a SCRAM login to the TLS connection under it: tls-server-end-point (RFC 5929)."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes


def tls_server_end_point(certificate_der: bytes) -> bytes | None:
    """Return the hash of the server's certificate that both sides compute (section 4.1).

    None if the certificate's signature has no hash of its own, as Ed25519, or none that we know:
    the RFC leaves that case open, and libpq ends the connection, so nothing must be offered then.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        algorithm = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    match algorithm:
        case None:
            return None
        case hashes.MD5() | hashes.SHA1():
            return certificate.fingerprint(hashes.SHA256())
        case _:
            return certificate.fingerprint(algorithm)
