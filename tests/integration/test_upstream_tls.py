"""How we reach a target: the certificates that we accept, and to which of them a login is bound."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from broker.domain.credential import ClientKeys, verifier_of, verifier_text
from broker.domain.server import ServerAddress, TlsMode
from broker.tls import tls_context
from proxy import dial
from proxy.dial import LoginRefused, TargetDown, Upstream
from proxy.stream import MessageStream
from proxy.wire.messages import SSL_REQUEST, BackendKeyData, encode_frame
from tests.support.servers import Server, Source

PLAIN, PLUS = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
LOGIN = "jit_of_this_test"
KEYS = ClientKeys(bytes(range(32)), bytes(range(32, 64)))
PARAMETERS = {"user": LOGIN, "database": "postgres"}
FETCHED = Path(__file__).parents[1] / "postgresql" / "node_modules"

Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority of an organisation's own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.root = (
            self._building(self._name, self._key, timedelta(days=1))
            .add_extension(basic, critical=True)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def certify(
        self,
        names: Sequence[str],
        key: Key | None = None,
        valid_for: timedelta = timedelta(days=1),
        algorithm: Hash = hashes.SHA256(),  # noqa: B008  (it has no state)
    ) -> Pair:
        """Return a server's certificate, as plain as PostgreSQL's documentation makes them."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "postgresql")])
        made = (
            self._building(subject, key, valid_for)
            .add_extension(x509.SubjectAlternativeName([general(name) for name in names]), False)
            .sign(self._key, algorithm)
        )
        return Pair(
            made.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def _building(
        self, subject: x509.Name, key: Key, valid_for: timedelta
    ) -> x509.CertificateBuilder:
        end = datetime.now(UTC) + valid_for
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=2))
            .not_valid_after(end)
        )


def general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


AUTHORITY, STRANGER = Authority("our own CA"), Authority("somebody else's CA")


@pytest.fixture
def root(tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(AUTHORITY.root)
    return str(path)


@pytest.fixture(scope="module")
def target(source: Source) -> Iterator[Server]:
    """A PostgreSQL of its own that speaks TLS, and knows our login by keys alone."""
    fetched = FETCHED / f"postgresql-{source.major}" / "native" / "bin"
    if source.dsn is not None:
        pytest.skip("this server's certificate is not ours to choose")
    # The embedded binaries that are preferred elsewhere are built without TLS.
    binaries = fetched if fetched.exists() else None
    with (replace(source, binaries=binaries) if binaries else source).run() as server:
        asyncio.run(prepare(server))
        yield server


async def prepare(server: Server) -> None:
    connection = await server.connect()
    try:
        verifier = verifier_text(verifier_of(KEYS, b"sixteen of salt.", 1))
        await connection.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{verifier}'")
        await install(server, AUTHORITY.certify([server.host, "localhost"]))
    finally:
        await connection.close()


async def install(server: Server, pair: Pair) -> None:
    """Have the server show this certificate."""
    connection = await server.connect()
    try:
        for name, content in (("server.crt", pair.certificate), ("server.key", pair.key)):
            await connection.execute(
                f"COPY (SELECT '{content.decode().strip()}') TO PROGRAM"
                f" 'umask 077; sed ''s/\\\\n/\\n/g'' > {name}'"
            )
        await connection.execute("ALTER SYSTEM SET ssl = on")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()
    wanted = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    async with asyncio.timeout(10):
        while await asyncio.to_thread(shown, server) != wanted:
            await asyncio.sleep(0.02)


def shown(server: Server) -> bytes | None:
    """Return the certificate that the server shows now, None while it has no TLS."""
    with socket.create_connection((server.host, server.port), 10) as sock:
        sock.sendall(SSL_REQUEST)
        if sock.recv(1) != b"S":
            return None
        with unchecking().wrap_socket(sock) as wrapped:
            return wrapped.getpeercert(binary_form=True)


def unchecking() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
async def address(target: Server, root: str) -> ServerAddress:
    return ServerAddress(target.host, target.port, "postgres", root_certificate=root)


@asynccontextmanager
async def logged_in(address: ServerAddress) -> AsyncIterator[tuple[MessageStream, str]]:
    stream, result = await Upstream(address).log_in(KEYS, PARAMETERS)
    try:
        yield stream, result.mechanism
    finally:
        stream.transport.abort()


async def ask(stream: MessageStream, sql: str) -> bytes:
    """Return the kinds of the messages that answer, up to ReadyForQuery."""
    stream.write(encode_frame(b"Q", sql.encode() + b"\0"))
    kinds = b""
    while not kinds.endswith(b"Z"):
        kinds += (await stream.next_frame()).kind
    return kinds


@pytest.mark.sample
class TestLogin:
    async def test_is_bound_to_the_certificate_of_the_target(
        self, address: ServerAddress, source: Source
    ) -> None:
        async with logged_in(address) as (stream, mechanism):
            assert mechanism == PLUS
            assert await ask(stream, "SELECT 1") == b"TDCZ"
            ssl_object = stream.transport.get_extra_info("ssl_object")
            assert ssl_object.version() == "TLSv1.3"
            picked = "postgresql" if source.major >= 17 else None
            assert ssl_object.selected_alpn_protocol() == picked

    @pytest.mark.parametrize(
        ("make_key", "algorithm", "mechanism"),
        [
            (lambda: rsa.generate_private_key(65_537, 2048), hashes.SHA512(), PLUS),
            (lambda: ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), PLUS),
        ],
        ids=["RSA", "P-384"],
    )
    async def test_is_bound_to_certificates_of_every_kind(
        self,
        address: ServerAddress,
        target: Server,
        make_key: Callable[[], Key],
        algorithm: Hash,
        mechanism: str,
    ) -> None:
        names = [target.host, "localhost"]
        await install(target, AUTHORITY.certify(names, make_key(), algorithm=algorithm))
        async with logged_in(address) as (stream, chosen):
            assert chosen == mechanism
            assert await ask(stream, "SELECT 1") == b"TDCZ"

    async def test_is_not_bound_where_the_certificate_has_no_hash(
        self, address: ServerAddress, target: Server, tmp_path: Path
    ) -> None:
        """PostgreSQL offers channel binding all the same, and takes it well that we leave it."""
        key = ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self-signed")])
        end = datetime.now(UTC) + timedelta(days=1)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(end - timedelta(days=2))
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([general(target.host)]), False)
            .sign(key, None)
            .public_bytes(Encoding.PEM)
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "self.pem").write_bytes(made)
        await install(target, Pair(made, private))
        trusting = replace(address, root_certificate=str(tmp_path / "self.pem"))
        try:
            async with logged_in(trusting) as (stream, mechanism):
                assert mechanism == PLAIN
                assert await ask(stream, "SELECT 1") == b"TDCZ"
        finally:
            await install(target, AUTHORITY.certify([target.host, "localhost"]))

    async def test_is_bound_even_where_nobody_checks_the_certificate(
        self, address: ServerAddress
    ) -> None:
        blind = replace(address, tls=TlsMode.REQUIRE, root_certificate=None)
        async with logged_in(blind) as (_, mechanism):
            assert mechanism == PLUS

    async def test_in_the_clear_is_bound_to_nothing(self, address: ServerAddress) -> None:
        async with logged_in(replace(address, tls=TlsMode.DISABLE)) as (stream, mechanism):
            assert mechanism == PLAIN
            assert await ask(stream, "SELECT 1") == b"TDCZ"

    async def test_of_the_broker_takes_the_same_context(
        self, address: ServerAddress, target: Server
    ) -> None:
        connection = await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=target.superuser,
            password=target.password,
            database=address.database,
            ssl=tls_context(address),
        )
        try:
            used = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert await connection.fetchval(used)
        finally:
            await connection.close()

    async def test_can_be_cancelled(self, address: ServerAddress) -> None:
        upstream = Upstream(address)
        stream, result = await upstream.log_in(KEYS, PARAMETERS)
        try:
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(ask(stream, "SELECT pg_sleep(60)"))
                while not asking.done():
                    await upstream.cancel(result.cancel_key, stream)
                    await asyncio.wait([asking], timeout=0.1)
            assert asking.result().endswith(b"EZ")
        finally:
            stream.transport.abort()


class Between:
    """Somebody between us and a target, with a certificate and the key for it."""

    def __init__(
        self, target: Server, pair: Pair, folder: Path, tamper: tuple[bytes, bytes]
    ) -> None:
        self._target = target
        self._tamper = tamper
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (folder / "between.pem").write_bytes(pair.certificate + pair.key)
        self._context.load_cert_chain(folder / "between.pem")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(len(SSL_REQUEST))
            writer.write(b"S")
            await writer.start_tls(self._context)
            far_reader, far_writer = await asyncio.open_connection(
                self._target.host, self._target.port
            )
            far_writer.write(SSL_REQUEST)
            await far_reader.readexactly(1)
            await far_writer.start_tls(unchecking(), server_hostname="postgresql")
            await asyncio.gather(
                pass_on(reader, far_writer, (b"", b"")), pass_on(far_reader, writer, self._tamper)
            )
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tamper: tuple[bytes, bytes]
) -> None:
    while data := await reader.read(65_536):
        writer.write(data.replace(*tamper) if tamper[0] else data)
    writer.transport.abort()


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.sample
class TestInTheMiddle:
    """They have a certificate for the target's name from the CA that we trust."""

    def between(self, address: ServerAddress, port: int) -> ServerAddress:
        return replace(address, host="127.0.0.1", port=port)

    async def test_nobody_can_pass_our_login_on(
        self, address: ServerAddress, target: Server, tmp_path: Path
    ) -> None:
        between = Between(target, AUTHORITY.certify(["127.0.0.1"]), tmp_path, (b"", b""))
        async with listening(between.serve) as port:
            with pytest.raises(LoginRefused, match=r"^28000 SCRAM channel binding check failed$"):
                await Upstream(self.between(address, port)).log_in(KEYS, PARAMETERS)

    async def test_nobody_can_talk_us_out_of_the_binding(
        self, address: ServerAddress, target: Server, tmp_path: Path
    ) -> None:
        """We say that we would have bound ourselves, and the target knows that it offered it."""
        tamper = (b"SCRAM-SHA-256-PLUS\0", b"SCRAM-SHA-256-MINU\0")
        between = Between(target, AUTHORITY.certify(["127.0.0.1"]), tmp_path, tamper)
        async with listening(between.serve) as port:
            with pytest.raises(LoginRefused, match=r"^28000 SCRAM channel binding negotiation err"):
                await Upstream(self.between(address, port)).log_in(KEYS, PARAMETERS)


class TestNotTrusted:
    """The operator reads what is wrong with which certificate."""

    async def why(self, port: int, root: str, host: str = "127.0.0.1") -> str:
        with pytest.raises(TargetDown) as caught:
            await Upstream(ServerAddress(host, port, "orders", root_certificate=root)).log_in(
                KEYS, PARAMETERS
            )
        return str(caught.value).removeprefix(f"cannot connect to {host}:{port}: ")

    async def why_not(self, pair: Pair, root: str, folder: Path, host: str = "127.0.0.1") -> str:
        nowhere = Server("127.0.0.1", 1, "", "", 0)
        async with listening(Between(nowhere, pair, folder, (b"", b"")).serve) as port:
            return await self.why(port, root, host)

    async def test_is_a_certificate_for_another_name(self, root: str, tmp_path: Path) -> None:
        pair = AUTHORITY.certify(["db.example.com"])
        assert await self.why_not(pair, root, tmp_path, "localhost") == (
            "its certificate is not trusted: Hostname mismatch, certificate is not valid for"
            f" 'localhost' (checked against {root})"
        )

    async def test_is_a_certificate_for_another_address(self, root: str, tmp_path: Path) -> None:
        assert await self.why_not(AUTHORITY.certify(["localhost"]), root, tmp_path) == (
            "its certificate is not trusted: IP address mismatch, certificate is not valid for"
            f" '127.0.0.1' (checked against {root})"
        )

    async def test_is_a_certificate_of_an_unknown_authority(
        self, root: str, tmp_path: Path
    ) -> None:
        assert await self.why_not(STRANGER.certify(["127.0.0.1"]), root, tmp_path) == (
            "its certificate is not trusted: unable to get local issuer certificate"
            f" (checked against {root})"
        )

    async def test_is_a_certificate_that_has_expired(self, root: str, tmp_path: Path) -> None:
        pair = AUTHORITY.certify(["127.0.0.1"], valid_for=timedelta(seconds=-1))
        assert await self.why_not(pair, root, tmp_path) == (
            f"its certificate is not trusted: certificate has expired (checked against {root})"
        )

    async def test_is_a_certificate_that_is_not_valid_yet(self, root: str, tmp_path: Path) -> None:
        pair = AUTHORITY.certify(["127.0.0.1"], valid_for=timedelta(days=3))
        assert await self.why_not(pair, root, tmp_path) == (
            f"its certificate is not trusted: certificate is not yet valid (checked against {root})"
        )

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (b"N", "it does not speak TLS, and the settings demand it"),
            (b"", "it closed the connection"),
            (b"E", "its answer to our wish for TLS is not PostgreSQL's"),
            (b"HTTP/1.1 400", "its answer to our wish for TLS is not PostgreSQL's"),
            # Taken for the handshake, and never for what comes after it.
            (b"SE\0\0\0\x05\0", "the TLS handshake failed: WRONG_VERSION_NUMBER"),
            (b"S", "it closed the connection"),
        ],
    )
    async def test_is_an_answer_without_tls(self, root: str, answer: bytes, why: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(SSL_REQUEST))
            writer.write(answer)
            writer.close()

        async with listening(serve) as port:
            assert await self.why(port, root) == why


class TestUnreachable:
    """Every address of a name gets its turn, and its share of the time."""

    async def why(self, address: ServerAddress) -> str:
        with pytest.raises(TargetDown) as caught:
            await Upstream(replace(address, tls=TlsMode.DISABLE)).log_in(KEYS, PARAMETERS)
        return str(caught.value)

    def resolve(self, monkeypatch: pytest.MonkeyPatch, *places: tuple[str, int]) -> None:
        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    async def test_is_a_name_that_nobody_knows(self) -> None:
        said = await self.why(ServerAddress("no-such-host.invalid", 5432, "orders"))
        assert said.startswith(
            "cannot connect to no-such-host.invalid:5432: the name cannot be resolved ("
        )

    async def test_is_a_port_where_nobody_listens(self) -> None:
        said = await self.why(ServerAddress("127.0.0.1", unused_port(), "orders"))
        assert said.endswith(": 127.0.0.1: Connection refused")

    async def test_is_a_socket_file_that_is_missing(self, tmp_path: Path) -> None:
        said = await self.why(ServerAddress(str(tmp_path), 5432, "orders"))
        assert said.endswith(f": {tmp_path}/.s.PGSQL.5432: No such file or directory")

    async def test_is_a_name_whose_addresses_all_fail(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        port = unused_port()
        self.resolve(monkeypatch, ("127.0.0.1", port), ("127.0.0.2", port))
        said = await self.why(ServerAddress("db.example.com", port, "orders"))
        assert said.endswith(": 127.0.0.1: Connection refused; 127.0.0.2: Connection refused")

    async def test_is_not_a_name_with_one_address_that_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first swallows what we send: it must not have all the time for itself."""
        monkeypatch.setattr(dial, "_CONNECT_TIMEOUT_S", 1.0)
        with full_port() as swallowing:
            async with listening(lambda _, writer: writer.close()) as answering:
                self.resolve(monkeypatch, ("127.0.0.1", swallowing), ("127.0.0.1", answering))
                said = await self.why(ServerAddress("db.example.com", 5432, "orders"))
        assert said.endswith(": it closed the connection during login")

    async def test_is_a_target_that_takes_too_long(
        self, monkeypatch: pytest.MonkeyPatch, root: str
    ) -> None:
        """It accepts, and is silent when asked for TLS."""
        monkeypatch.setattr(dial, "_CONNECT_TIMEOUT_S", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            address = ServerAddress("127.0.0.1", port, "orders", root_certificate=root)
            with pytest.raises(TargetDown, match=r": no answer in time$"):
                await Upstream(address).log_in(KEYS, PARAMETERS)

    async def test_is_a_target_that_cannot_be_told_to_cancel(self) -> None:
        upstream = Upstream(
            ServerAddress("127.0.0.1", unused_port(), "orders", tls=TlsMode.DISABLE)
        )
        with pytest.raises(TargetDown, match="Connection refused"):
            await upstream.cancel(BackendKeyData(1, bytes(4)))

    async def test_a_cancel_lasts_until_the_target_says_that_it_is_done(self) -> None:
        """It has sent its signals by then, and none can hit the query after."""
        done = asyncio.Event()
        asked = asyncio.Event()

        async def take_its_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(16)
            asked.set()
            await done.wait()
            writer.close()

        async with listening(take_its_time) as port, asyncio.TaskGroup() as tasks:
            upstream = Upstream(ServerAddress("127.0.0.1", port, "orders", tls=TlsMode.DISABLE))
            cancelling = tasks.create_task(upstream.cancel(BackendKeyData(1, bytes(4))))
            await asked.wait()
            assert not cancelling.done()
            done.set()


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def full_port() -> Iterator[int]:
    """A port that accepts nobody any more: connections to it hang."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
