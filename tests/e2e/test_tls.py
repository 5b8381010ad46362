"""TLS between people and the proxy: bound to, direct, renewed, with certificates of their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from proxy.own_certificate import CertificateFiles
from tests.support.certificates import make_certificate
from tests.support.service import Access, Service, run_service
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

PEOPLE = (DEV, REVIEWER)
_NAMES = ("127.0.0.1", "localhost")


def _works(access: Access, **parameters: str) -> bool:
    with access.connect(**parameters) as session:
        return bool(session.execute("SELECT 1").fetchone() == (1,))


@pytest.mark.parametrize(
    "parameters",
    [
        {"channel_binding": "require"},
        {"channel_binding": "disable"},
        {"sslnegotiation": "direct"},
        {"sslnegotiation": "direct", "channel_binding": "require"},
        {"ssl_max_protocol_version": "TLSv1.2", "channel_binding": "require"},
        {"gssencmode": "prefer"},
        {"max_protocol_version": "latest"},
        {"min_protocol_version": "3.2", "max_protocol_version": "3.2"},
        {"require_auth": "scram-sha-256"},
    ],
    ids=",".join,
)
async def test_a_client_that_wants_more_gets_it(
    service: Service, parameters: dict[str, str]
) -> None:
    access = await service.get_access()
    assert _works(access, **parameters)


async def test_tls_1_1_is_refused(service: Service) -> None:
    access = await service.get_access()
    with pytest.raises(psycopg.OperationalError):
        access.connect(ssl_min_protocol_version="TLSv1", ssl_max_protocol_version="TLSv1.1")


async def test_a_renewed_certificate_is_shown_without_a_restart(stage: Stage) -> None:
    """Who connects meanwhile keeps what they were shown; the binding fits either."""
    first, second = (make_certificate(stage.folder / name, _NAMES) for name in ("first", "second"))
    served = make_certificate(stage.folder / "served", _NAMES)
    tls = {
        "certificate": str(served.certificate),
        "key": str(served.key),
        "root_certificate": str(served.root),
    }
    _copy(first, served)
    with run_service(stage, PEOPLE, proxy={"tls": tls}) as service:
        access = await service.get_access()
        roots = {"sslrootcert": str(first.root), "channel_binding": "require"}
        with access.connect(**roots) as session:
            _copy(second, served)
            service.reload()
            assert _works(access, sslrootcert=str(second.root), channel_binding="require")
            with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
                access.connect(**roots)
            assert session.execute("SELECT 1").fetchone() == (1,)
        served.key.write_bytes(first.key.read_bytes())  # half of a renewal
        service.reload("the old ones stay")
        assert _works(access, sslrootcert=str(second.root))


@pytest.fixture
def people_ca(stage: Stage) -> "_Authority":
    return _Authority(stage.folder)


async def test_who_must_show_a_certificate_and_whose(stage: Stage, people_ca: "_Authority") -> None:
    tls = {"client_certificates": "required", "client_ca": str(people_ca.root)}
    with run_service(stage, PEOPLE, proxy={"tls": tls}) as service:
        access = await service.get_access()
        with pytest.raises(psycopg.OperationalError, match="certificate required"):
            access.connect()
        assert _works(access, **people_ca.issue(DEV))
        subject = await stage.query_ledger(
            "SELECT client_certificate FROM curfew.sessions WHERE grant_id = $1", access.grant.id
        )
        assert subject == f"CN={DEV}"
        with pytest.raises(psycopg.OperationalError) as refusal:
            access.connect(**people_ca.issue(REVIEWER))
        assert "the client certificate is another person's" in str(refusal.value)
        assert f"belongs to {DEV}" in str(refusal.value)
        stranger = _Authority(stage.folder / "stranger")
        with pytest.raises(psycopg.OperationalError):
            access.connect(**stranger.issue(DEV))


async def test_an_optional_certificate_may_name_a_machine_or_be_missing(
    stage: Stage, people_ca: "_Authority"
) -> None:
    tls = {"client_certificates": "optional", "client_ca": str(people_ca.root)}
    with run_service(stage, PEOPLE, proxy={"tls": tls}) as service:
        access = await service.get_access()
        assert _works(access)
        assert _works(access, **people_ca.issue("build-runner"))
        with pytest.raises(psycopg.OperationalError, match="another person's"):
            access.connect(**people_ca.issue(REVIEWER))


def _copy(source: CertificateFiles, target: CertificateFiles) -> None:
    for of in _PARTS:
        of(target).write_bytes(of(source).read_bytes())


_PARTS: tuple[Callable[[CertificateFiles], Path], ...] = (
    lambda files: files.certificate,
    lambda files: files.key,
    lambda files: files.root,
)


class _Authority:
    """A CA that certifies people."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "people")])
        self.root = folder / "people.pem"
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, whom: str) -> dict[str, str]:
        """Return libpq's parameters for a new certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whom)])
        builder = self._builder(name, key.public_key())
        if "@" in whom:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.RFC822Name(whom)]), critical=False
            )
        certificate, private = self._folder / f"{whom}.pem", self._folder / f"{whom}.key"
        signed = builder.sign(self._key, hashes.SHA256())
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return {"sslcert": str(certificate), "sslkey": str(private)}

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )
