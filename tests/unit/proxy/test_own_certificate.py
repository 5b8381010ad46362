"""The certificate that a proxy makes for itself: for whom, for how long, and made only once."""

import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from proxy.own_certificate import CertificateFiles, ensure_certificate
from proxy.tls import (
    client_context,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ["db.example.com", "localhost", "127.0.0.1", "::1"]
LIFETIME = timedelta(days=397)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    home = tmp_path / "first start" / "tls"
    return CertificateFiles(home / "proxy.crt", home / "proxy.key", home / "root.crt")


@pytest.fixture
def made(files: CertificateFiles) -> CertificateFiles:
    assert ensure_certificate(files, NAMES, NOW)
    return files


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verify(files: CertificateFiles, name: x509.verification.Subject, now: datetime) -> None:
    """As a strict client does that trusts only our root."""
    trust = Store([certificate(files.root)])
    PolicyBuilder().store(trust).time(now).build_server_verifier(name).verify(
        certificate(files.certificate), []
    )


def contents(files: CertificateFiles) -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in (files.certificate, files.key, files.root))


class TestCertificate:
    @pytest.mark.parametrize(
        "name",
        [
            x509.DNSName("db.example.com"),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
            x509.IPAddress(IPv6Address("::1")),
        ],
        ids=lambda name: str(name.value),
    )
    def test_is_accepted_for_each_name_by_whoever_trusts_the_root(
        self, made: CertificateFiles, name: x509.verification.Subject
    ) -> None:
        verify(made, name, NOW)

    def test_is_not_accepted_for_another_name(self, made: CertificateFiles) -> None:
        with pytest.raises(VerificationError):
            verify(made, x509.DNSName("evil.example.com"), NOW)

    def test_is_not_accepted_on_the_word_of_another_root(
        self, made: CertificateFiles, tmp_path: Path
    ) -> None:
        other = CertificateFiles(tmp_path / "c", tmp_path / "k", tmp_path / "other.crt")
        ensure_certificate(other, NAMES, NOW)
        mixed = CertificateFiles(made.certificate, made.key, other.root)
        with pytest.raises(VerificationError):
            verify(mixed, x509.DNSName("localhost"), NOW)

    @pytest.mark.parametrize(
        ("moment", "valid"),
        [
            (NOW - timedelta(hours=1, seconds=1), False),
            (NOW - timedelta(hours=1), True),
            (NOW + LIFETIME, True),
            (NOW + LIFETIME + timedelta(seconds=1), False),
        ],
    )
    def test_is_valid_from_an_hour_ago_for_397_days(
        self, made: CertificateFiles, moment: datetime, *, valid: bool
    ) -> None:
        """The hour is for clients whose clock is late."""
        if valid:
            verify(made, x509.DNSName("localhost"), moment)
        else:
            with pytest.raises(VerificationError):
                verify(made, x509.DNSName("localhost"), moment)

    def test_names_each_host_once(self, files: CertificateFiles) -> None:
        ensure_certificate(files, ["localhost", "127.0.0.1", "localhost"], NOW)
        names = certificate(files.certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert list(names.value) == [
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ]

    def test_is_good_for_servers_and_cannot_make_others(self, made: CertificateFiles) -> None:
        extensions = certificate(made.certificate).extensions
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign

    def test_belongs_to_the_key(self, made: CertificateFiles) -> None:
        key = load_pem_private_key(made.key.read_bytes(), password=None)
        assert key.public_key() == certificate(made.certificate).public_key()


class TestKeyFile:
    def test_is_for_us_alone(self, made: CertificateFiles) -> None:
        assert stat.S_IMODE(made.key.stat().st_mode) == 0o600

    def test_is_for_us_alone_even_after_an_attempt_that_died(self, files: CertificateFiles) -> None:
        """It left behind what was going to be a file for everybody."""
        files.key.parent.mkdir(parents=True)
        leftover = files.key.with_suffix(".new")
        leftover.touch(mode=0o644)
        ensure_certificate(files, NAMES, NOW)
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
        assert not leftover.exists()

    def test_is_the_only_place_of_a_private_key(self, made: CertificateFiles) -> None:
        """Nobody can make another certificate that clients who trust this root would accept."""
        folder = made.key.parent
        secret = [path.name for path in folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
        assert secret == ["proxy.key"]
        assert sorted(path.name for path in folder.iterdir()) == [
            "proxy.crt",
            "proxy.key",
            "root.crt",
        ]
        key = load_pem_private_key(made.key.read_bytes(), password=None)
        assert key.public_key() != certificate(made.root).public_key()


class TestRenewal:
    def test_does_not_happen_while_the_certificate_is_fresh(self, made: CertificateFiles) -> None:
        """Clients keep the root: every new one is work for people."""
        before = contents(made)
        last_moment = NOW + LIFETIME - timedelta(days=30, seconds=1)
        assert not ensure_certificate(made, NAMES, last_moment)
        assert contents(made) == before

    def test_comes_thirty_days_before_the_end(self, made: CertificateFiles) -> None:
        before = contents(made)
        moment = NOW + LIFETIME - timedelta(days=30)
        assert ensure_certificate(made, NAMES, moment)
        assert not set(contents(made)) & set(before)
        verify(made, x509.DNSName("localhost"), moment + LIFETIME)

    @pytest.mark.parametrize(
        "names", [["db2.example.com", *NAMES[1:]], NAMES[:-1], [*NAMES, "192.0.2.7"]]
    )
    def test_comes_when_the_names_change(self, made: CertificateFiles, names: list[str]) -> None:
        assert ensure_certificate(made, names, NOW)
        assert not ensure_certificate(made, names, NOW)

    @pytest.mark.parametrize("lost", ["certificate", "key", "root"])
    def test_comes_when_a_file_is_lost(self, made: CertificateFiles, lost: str) -> None:
        path: Path = getattr(made, lost)
        path.unlink()
        assert ensure_certificate(made, NAMES, NOW)
        client_context(made.certificate, made.key)
        verify(made, x509.DNSName("localhost"), NOW)

    @pytest.mark.parametrize("damaged", ["certificate", "key", "root"])
    def test_comes_when_a_file_cannot_be_read(self, made: CertificateFiles, damaged: str) -> None:
        path: Path = getattr(made, damaged)
        path.write_bytes(path.read_bytes()[:40])
        assert ensure_certificate(made, NAMES, NOW)
        client_context(made.certificate, made.key)
        verify(made, x509.DNSName("localhost"), NOW)

    @pytest.mark.parametrize("done", [1, 2])
    def test_is_taken_up_again_after_a_crash_between_two_files(
        self, made: CertificateFiles, tmp_path: Path, done: int
    ) -> None:
        """The key is written first, then the certificate, then the root."""
        fresh = CertificateFiles(tmp_path / "a.crt", tmp_path / "a.key", tmp_path / "root.crt")
        ensure_certificate(fresh, NAMES, NOW)
        steps: list[Callable[[], object]] = [
            lambda: made.key.write_bytes(fresh.key.read_bytes()),
            lambda: made.certificate.write_bytes(fresh.certificate.read_bytes()),
        ]
        for step in steps[:done]:
            step()
        assert ensure_certificate(made, NAMES, NOW)
        client_context(made.certificate, made.key)
        verify(made, x509.DNSName("localhost"), NOW)

    def test_is_done_once_when_several_workers_start_together(
        self, files: CertificateFiles
    ) -> None:
        """Else one would serve the key of another's certificate."""
        made: list[bool] = []
        together = threading.Barrier(8)

        def start() -> None:
            together.wait()
            made.append(ensure_certificate(files, NAMES, NOW))

        workers = [threading.Thread(target=start) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(made) == [*[False] * 7, True]
        client_context(files.certificate, files.key)

    def test_replaces_a_certificate_that_is_not_ours(self, made: CertificateFiles) -> None:
        """It names nobody, so no client would take it."""
        key = ec.generate_private_key(ec.SECP256R1())
        nobody = x509.Name([])
        bare = (
            x509.CertificateBuilder()
            .subject_name(nobody)
            .issuer_name(nobody)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(NOW)
            .not_valid_after(NOW + LIFETIME)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made.key.write_bytes(private)
        made.certificate.write_bytes(bare.public_bytes(Encoding.PEM))
        made.root.write_bytes(bare.public_bytes(Encoding.PEM))
        assert ensure_certificate(made, NAMES, NOW)
        verify(made, x509.DNSName("localhost"), NOW)
