"""How the proxy speaks TLS: with a certificate that may change while it runs, and with clients that
may show their own."""

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from proxy.channel_binding import tls_server_end_point
from proxy.own_certificate import CertificateFiles, ensure_certificate
from proxy.tls import (
    CertificateHolder,
    CertificateWatch,
    ClientCertificates,
    ClientTlsFiles,
    certificate_holder,
    client_context,
    load_client_tls,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = ["db.example.com", "localhost", "127.0.0.1", "::1"]

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which ssl has no name: the clock is not ours to set.
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)


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


def shake_hands(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let both talk in memory until they agree; return the client's and the server's end. Raises
    ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    ends = [client, server]
    for _ in range(10):
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    assert ends == []
    return client, server


def trusting(root: Path) -> ssl.SSLContext:
    """Return how a client with sslmode=verify-full speaks."""
    context = ssl.create_default_context(cafile=root)
    context.verify_flags |= NO_CHECK_TIME
    return context


class TestHandshake:
    def test_succeeds_with_sslmode_verify_full(self, made: CertificateFiles) -> None:
        server_side = client_context(made.certificate, made.key)
        client, _ = shake_hands(server_side, trusting(made.root))
        assert client.version() == "TLSv1.3"

    def test_agrees_on_the_protocol_that_direct_tls_demands(self, made: CertificateFiles) -> None:
        client_side = trusting(made.root)
        client_side.set_alpn_protocols(["postgresql"])
        client, _ = shake_hands(client_context(made.certificate, made.key), client_side)
        assert client.selected_alpn_protocol() == "postgresql"

    def test_succeeds_with_old_clients_that_name_no_protocol(self, made: CertificateFiles) -> None:
        client_side = trusting(made.root)
        client_side.maximum_version = ssl.TLSVersion.TLSv1_2
        client, _ = shake_hands(client_context(made.certificate, made.key), client_side)
        assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.2", None)

    def test_fails_with_a_client_that_trusts_another_root(
        self, made: CertificateFiles, tmp_path: Path
    ) -> None:
        other = CertificateFiles(tmp_path / "c", tmp_path / "k", tmp_path / "other.crt")
        ensure_certificate(other, NAMES, NOW)
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(client_context(made.certificate, made.key), trusting(other.root))

    @pytest.mark.parametrize(
        "cipher",
        ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-SHA"],
    )
    def test_fails_with_ciphers_that_forget_authenticity_or_secrecy(
        self, made: CertificateFiles, cipher: str
    ) -> None:
        """CBC modes, and keys that a stolen certificate opens later."""
        client_side = trusting(made.root)
        client_side.maximum_version = ssl.TLSVersion.TLSv1_2
        client_side.set_ciphers(cipher)
        with pytest.raises(ssl.SSLError):
            shake_hands(client_context(made.certificate, made.key), client_side)

    def test_leaves_out_what_was_ever_attacked(self, made: CertificateFiles) -> None:
        context = client_context(made.certificate, made.key)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
        _, server = shake_hands(context, trusting(made.root))
        assert server.compression() is None

    def test_hands_out_no_tickets_that_nobody_redeems(self, made: CertificateFiles) -> None:
        client, server = shake_hands(
            client_context(made.certificate, made.key), trusting(made.root)
        )
        server.write(b"!")
        assert client.read(1) == b"!"  # tickets would have come before it
        assert client.session is not None
        assert not client.session.has_ticket


def test_files_that_do_not_belong_together_are_not_served(
    made: CertificateFiles, tmp_path: Path
) -> None:
    other = CertificateFiles(tmp_path / "c", tmp_path / "k", tmp_path / "other.crt")
    ensure_certificate(other, NAMES, NOW)
    with pytest.raises(ssl.SSLError):
        client_context(made.certificate, other.key)


def test_a_key_with_a_passphrase_is_refused_at_once(made: CertificateFiles) -> None:
    """OpenSSL would ask at the terminal."""
    key = load_pem_private_key(made.key.read_bytes(), password=None)
    made.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hidden"))
    )
    with pytest.raises(OSError, match="the private key has a passphrase"):
        client_context(made.certificate, made.key)


Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def self_signed(
    key: Key, subject: x509.Name, extensions: Sequence[x509.ExtensionType] = ()
) -> x509.Certificate:
    building = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
    )
    for extension in extensions:
        building = building.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return building.sign(key, algorithm)


def write_pair(folder: Path, key: Key, certificate: x509.Certificate) -> ClientTlsFiles:
    folder.mkdir(exist_ok=True)
    files = ClientTlsFiles(folder / "one.crt", folder / "one.key")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    return files


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class TestChannelBinding:
    def test_is_that_of_the_certificate_shown(self, made: CertificateFiles) -> None:
        tls = load_client_tls(ClientTlsFiles(made.certificate, made.key))
        client, _ = shake_hands(tls.context, trusting(made.root))
        shown = client.getpeercert(binary_form=True)
        assert shown is not None
        assert tls.channel_binding == tls_server_end_point(shown) == sha256(shown).digest()

    def test_is_that_of_the_leaf_in_a_chain(self, made: CertificateFiles) -> None:
        leaf = certificate(made.certificate).public_bytes(Encoding.DER)
        made.certificate.write_bytes(made.certificate.read_bytes() + made.root.read_bytes())
        tls = load_client_tls(ClientTlsFiles(made.certificate, made.key))
        assert tls.channel_binding == sha256(leaf).digest()

    def test_is_not_offered_with_an_ed25519_certificate(self, tmp_path: Path) -> None:
        key = ed25519.Ed25519PrivateKey.generate()
        files = write_pair(tmp_path, key, self_signed(key, common_name("localhost")))
        tls = load_client_tls(files)
        assert tls.channel_binding is None
        shake_hands(tls.context, unchecking())


def unchecking() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class TestClientCertificate:
    @pytest.fixture
    def client(self, tmp_path: Path) -> ClientTlsFiles:
        """A client's certificate that vouches for itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [x509.SubjectAlternativeName([x509.RFC822Name("alice@example.com")])]
        return write_pair(tmp_path / "client", key, self_signed(key, common_name("a"), extensions))

    def shown(
        self,
        made: CertificateFiles,
        wanted: ClientCertificates,
        trusted: Path,
        client: ClientTlsFiles | None,
    ) -> bytes | None:
        """Return what the server sees of a client. Raises ssl.SSLError."""
        files = ClientTlsFiles(made.certificate, made.key, trusted, wanted)
        server_side, client_side = load_client_tls(files).context, trusting(made.root)
        server_side.verify_flags |= NO_CHECK_TIME
        if client is not None:
            client_side.load_cert_chain(client.certificate, client.key)
        _, server = shake_hands(server_side, client_side)
        return server.getpeercert(binary_form=True)

    @pytest.mark.parametrize("wanted", [ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED])
    def test_is_seen_when_we_ask_for_it(
        self, made: CertificateFiles, client: ClientTlsFiles, wanted: ClientCertificates
    ) -> None:
        shown = self.shown(made, wanted, client.certificate, client)
        assert shown is not None
        assert certificate_holder(shown) == CertificateHolder(("alice@example.com",), "CN=a")

    def test_is_not_asked_for_unless_wanted(
        self, made: CertificateFiles, client: ClientTlsFiles
    ) -> None:
        assert self.shown(made, ClientCertificates.NONE, client.certificate, client) is None

    def test_may_be_missing_when_it_is_optional(
        self, made: CertificateFiles, client: ClientTlsFiles
    ) -> None:
        assert self.shown(made, ClientCertificates.OPTIONAL, client.certificate, None) is None

    def test_may_not_be_missing_when_it_is_required(
        self, made: CertificateFiles, client: ClientTlsFiles
    ) -> None:
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            self.shown(made, ClientCertificates.REQUIRED, client.certificate, None)

    @pytest.mark.parametrize("wanted", [ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED])
    def test_of_a_stranger_is_refused(
        self, made: CertificateFiles, client: ClientTlsFiles, wanted: ClientCertificates
    ) -> None:
        """Even where none at all would do."""
        with pytest.raises(ssl.SSLCertVerificationError):
            self.shown(made, wanted, made.root, client)

    @pytest.mark.parametrize("wanted", [ClientCertificates.OPTIONAL, ClientCertificates.REQUIRED])
    def test_needs_somebody_who_vouches_for_it(self, wanted: ClientCertificates) -> None:
        with pytest.raises(ValueError, match=r"^certificates of clients need a CA"):
            ClientTlsFiles(Path("a"), Path("b"), None, wanted)

    @pytest.mark.parametrize("content", [None, b"", b"no PEM"])
    def test_is_not_checked_against_an_unreadable_file(
        self, made: CertificateFiles, tmp_path: Path, content: bytes | None
    ) -> None:
        trusted = tmp_path / "ca.pem"
        if content is not None:
            trusted.write_bytes(content)
        with pytest.raises(OSError, match=r"No such file|NO_CERTIFICATE"):
            self.shown(made, ClientCertificates.OPTIONAL, trusted, None)


class TestHolder:
    def holder(
        self,
        subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (),
        names: Sequence[x509.GeneralName] = (),
    ) -> CertificateHolder:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
        extensions = [x509.SubjectAlternativeName(names)] if names else []
        made = self_signed(key, name, [*extensions, x509.OCSPNoCheck()])
        return certificate_holder(made.public_bytes(Encoding.DER))

    def test_has_the_addresses_of_subject_and_alternative_names(self) -> None:
        """In lower case, as the ledger has them, and each once."""
        found = self.holder(
            [(NameOID.COMMON_NAME, "Alice"), (NameOID.EMAIL_ADDRESS, "Alice@example.com")],
            [
                x509.RFC822Name("alice@example.com"),
                x509.DNSName("bob@example.com"),
                x509.RFC822Name("alice@example.org"),
            ],
        )
        assert found.emails == ("alice@example.com", "alice@example.org")
        assert found.subject == "1.2.840.113549.1.9.1=Alice@example.com,CN=Alice"

    def test_has_none_when_none_is_named(self) -> None:
        assert self.holder() == CertificateHolder((), "an empty subject")
        assert self.holder([(NameOID.COMMON_NAME, "a@example.com")]).emails == ()

    def test_is_fit_for_logs(self) -> None:
        found = self.holder(
            [
                (NameOID.COMMON_NAME, "a\n\x1b[31mb"),
                (NameOID.ORGANIZATION_NAME, "o" * 64),
                (NameOID.LOCALITY_NAME, "l" * 64),
            ]
        )
        assert len(found.subject) == 100
        assert found.subject.isprintable()

    @pytest.mark.parametrize("data", [b"", b"no certificate", bytes(1000)])
    def test_of_what_cannot_be_read_is_nobody(self, data: bytes) -> None:
        assert certificate_holder(data) == CertificateHolder((), "an unreadable certificate")


class TestWatch:
    @pytest.fixture
    def watch(self, made: CertificateFiles) -> CertificateWatch:
        return CertificateWatch(ClientTlsFiles(made.certificate, made.key))

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> CertificateFiles:
        files = CertificateFiles(tmp_path / "new.crt", tmp_path / "new.key", tmp_path / "new-root")
        ensure_certificate(files, NAMES, NOW)
        return files

    def test_needs_usable_files_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            CertificateWatch(ClientTlsFiles(tmp_path / "absent.crt", tmp_path / "absent.key"))

    def test_keeps_what_has_not_changed(self, watch: CertificateWatch) -> None:
        before = watch.current
        assert not watch.refresh()
        assert watch.current is before

    def test_takes_up_a_new_pair(
        self, made: CertificateFiles, watch: CertificateWatch, fresh: CertificateFiles
    ) -> None:
        before = watch.current.channel_binding
        made.key.write_bytes(fresh.key.read_bytes())
        made.certificate.write_bytes(fresh.certificate.read_bytes())
        assert watch.refresh()
        shake_hands(watch.current.context, trusting(fresh.root))
        assert watch.current.channel_binding != before
        assert not watch.refresh()

    def test_follows_a_link_to_another_file(
        self, made: CertificateFiles, fresh: CertificateFiles, tmp_path: Path
    ) -> None:
        """As certbot and Kubernetes put new certificates in place."""
        live = ClientTlsFiles(tmp_path / "live.crt", tmp_path / "live.key")
        live.certificate.symlink_to(made.certificate)
        live.key.symlink_to(made.key)
        watch = CertificateWatch(live)
        for link, target in ((live.certificate, fresh.certificate), (live.key, fresh.key)):
            link.unlink()
            link.symlink_to(target)
        assert watch.refresh()
        shake_hands(watch.current.context, trusting(fresh.root))

    @pytest.mark.parametrize("changed", ["certificate", "key"])
    def test_waits_for_the_other_half_of_a_pair(
        self,
        made: CertificateFiles,
        watch: CertificateWatch,
        fresh: CertificateFiles,
        caplog: pytest.LogCaptureFixture,
        changed: str,
    ) -> None:
        other = {"certificate": "key", "key": "certificate"}[changed]
        getattr(made, changed).write_bytes(getattr(fresh, changed).read_bytes())
        before = watch.current
        assert not watch.refresh()
        assert not watch.refresh()
        assert watch.current is before
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "is unusable, the old one stays in use: " in caplog.text
        getattr(made, other).write_bytes(getattr(fresh, other).read_bytes())
        assert watch.refresh()
        shake_hands(watch.current.context, trusting(fresh.root))

    @pytest.mark.parametrize("damaged", ["certificate", "key"])
    @pytest.mark.parametrize("left", [0, 40, 200])
    def test_does_not_serve_half_a_file(
        self, made: CertificateFiles, watch: CertificateWatch, damaged: str, left: int
    ) -> None:
        path: Path = getattr(made, damaged)
        whole, before = path.read_bytes(), watch.current
        path.write_bytes(whole[:left])
        assert not watch.refresh()
        assert watch.current is before
        path.write_bytes(whole)
        assert watch.refresh()

    @pytest.mark.parametrize("lost", ["certificate", "key"])
    def test_outlives_the_loss_of_a_file(
        self,
        made: CertificateFiles,
        watch: CertificateWatch,
        caplog: pytest.LogCaptureFixture,
        lost: str,
    ) -> None:
        path: Path = getattr(made, lost)
        path.unlink()
        before = watch.current
        assert not watch.refresh()
        assert watch.current is before
        assert "No such file or directory" in caplog.text

    def test_takes_up_other_authorities_for_clients(
        self, made: CertificateFiles, tmp_path: Path
    ) -> None:
        trusted = tmp_path / "ca.pem"
        trusted.write_bytes(made.root.read_bytes())
        watch = CertificateWatch(
            ClientTlsFiles(made.certificate, made.key, trusted, ClientCertificates.REQUIRED)
        )
        trusted.write_bytes(made.root.read_bytes() + made.certificate.read_bytes())
        assert watch.refresh()

    def test_never_mixes_one_certificate_with_the_hash_of_another(
        self,
        made: CertificateFiles,
        fresh: CertificateFiles,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """They are replaced between two of our reads."""

        def replaced_meanwhile(certificate: Path, key: Path) -> ssl.SSLContext:
            context = client_context(certificate, key)
            made.key.write_bytes(fresh.key.read_bytes())
            made.certificate.write_bytes(fresh.certificate.read_bytes())
            return context

        monkeypatch.setattr("proxy.tls.client_context", replaced_meanwhile)
        with pytest.raises(OSError, match="the files changed while they were read"):
            load_client_tls(ClientTlsFiles(made.certificate, made.key))
