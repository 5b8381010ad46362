"""Settings → addresses, logins and keys. Opens only the secrets that the caller asks for, so that a
process holds no others. Knows nothing of targets but where they are.
"""

from pathlib import Path
from ssl import SSLError

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from broker.config.faults import SettingsError
from broker.config.settings import Settings, UpstreamTls, beside, read_secret
from broker.domain.credential import PROXY_KEY_BYTES, ProxyKey
from broker.domain.server import ServerAddress, TlsMode
from broker.domain.ticket import Sign, Verify
from broker.ledger.connection import LedgerLogin
from broker.sink.address import HttpsSink, SinkAddress, SyslogSink
from broker.tls import tls_context, web_context


def ledger_login(settings: Settings, config: Path) -> LedgerLogin:
    """Return the broker's own login to the ledger. Raises SettingsError."""
    password = read_secret(settings.ledger.password, "ledger.password", config)
    return LedgerLogin(ledger_address(settings, config), settings.ledger.user, password)


def proxy_ledger_login(settings: Settings, config: Path) -> LedgerLogin:
    """Return the proxies' login to the ledger, which may do far less. Raises SettingsError."""
    proxy = settings.ledger.proxy
    password = read_secret(proxy.password, "ledger.proxy.password", config)
    return LedgerLogin(ledger_address(settings, config), proxy.user, password)


def read_proxy_keys(settings: Settings, config: Path) -> dict[str, ProxyKey]:
    """Return every proxy key by its id. Raises SettingsError."""
    keys = {}
    for name, reference in settings.keys.proxy_keys.items():
        text = read_secret(reference, f"keys.proxy_keys.{name}", config)
        try:
            keys[name] = ProxyKey(name, bytes.fromhex(text))
        except ValueError:
            raise SettingsError(
                str(config),
                [
                    f"  keys.proxy_keys.{name}: must be {PROXY_KEY_BYTES} bytes in hexadecimal; "
                    f"for example: openssl rand -hex {PROXY_KEY_BYTES}"
                ],
            ) from None
    return keys


def read_ticket_key(settings: Settings, config: Path) -> Sign:
    """Return what signs tickets. Only who seals one needs it. Raises SettingsError."""
    reference = settings.keys.ticket_key
    example = "for example: openssl genpkey -algorithm ed25519 -out ticket.key"
    if reference is None:
        why = "is not set, and tickets are signed with it"
        raise SettingsError(str(config), [f"  keys.ticket_key: {why}; {example}"])
    text = read_secret(reference, "keys.ticket_key", config)
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        why = "must be the PEM of an Ed25519 private key, without a passphrase"
        raise SettingsError(str(config), [f"  keys.ticket_key: {why}; {example}"])
    return key.sign


def read_ticket_public_keys(settings: Settings, config: Path) -> Verify | None:
    """Return what tells our tickets from others, or None if none are accepted. Raises
    SettingsError."""
    keys = [_ticket_public_key(path, config) for path in settings.proxy.tickets.public_keys]
    if not keys:
        return None

    def is_genuine(signature: bytes, message: bytes) -> bool:
        for key in keys:
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    return is_genuine


def _ticket_public_key(path: Path, config: Path) -> Ed25519PublicKey:
    name, file = "proxy.tickets.public_keys", beside(config, path)
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise unusable_file(name, file, error, config) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            str(config),
            [
                f"  {name}: file {file} is not the PEM of an Ed25519 public key; for example: "
                f"openssl pkey -in ticket.key -pubout -out {path}"
            ],
        )
    return key


def sink_address(settings: Settings, config: Path) -> SinkAddress | None:
    """Return where a copy of the record goes, if anywhere. Raises SettingsError."""
    sink = settings.audit.sink
    if sink is None:
        return None
    root = beside(config, sink.root_certificate) if sink.root_certificate else None
    try:
        context = web_context(str(root) if root else None)
    except OSError as error:
        assert root is not None
        raise unusable_file("audit.sink.root_certificate", root, error, config) from None
    if sink.syslog is not None:
        try:
            host, port = split_listen(sink.syslog)
        except ValueError:
            host, port = "", 0
        if not host or not 0 < port < 2**16:
            example = "for example: siem.example.com:6514"
            why = f"  audit.sink.syslog: must be HOST:PORT, not {sink.syslog!r}; {example}"
            raise SettingsError(str(config), [why])
        return SyslogSink(host, port, context)
    token = read_secret(sink.token, "audit.sink.token", config) if sink.token else None
    return HttpsSink(str(sink.url), context, token)


def ledger_address(settings: Settings, config: Path) -> ServerAddress:
    ledger = settings.ledger
    key = "ledger.tls.root_certificate"
    return _address(ledger.host, ledger.port, ledger.database, ledger.tls, (key, config))


def target_address(settings: Settings, config: Path, name: str) -> ServerAddress:
    target = settings.targets[name]
    key = f"targets.{name}.tls.root_certificate"
    return _address(target.host, target.port, target.database, target.tls, (key, config))


def state_dir(settings: Settings, config: Path) -> Path:
    return beside(config, settings.state_dir)


def proxy_root_certificate(settings: Settings, config: Path) -> Path:
    """Return where the proxy keeps the root of the certificate that it makes for itself."""
    return state_dir(settings, config) / "proxy-root.pem"


def proxy_certificate_files(settings: Settings, config: Path) -> tuple[Path, Path, Path]:
    """Return the proxy's certificate, its key, and the root of those that it makes for itself."""
    tls, own = settings.proxy.tls, state_dir(settings, config)
    root = proxy_root_certificate(settings, config)
    if tls.certificate is not None and tls.key is not None:
        return beside(config, tls.certificate), beside(config, tls.key), root
    return own / "proxy.pem", own / "proxy.key", root


def public_url(settings: Settings) -> str | None:
    """Return where people reach the API with a browser, without a slash at the end."""
    url = settings.api.public_url
    return str(url).rstrip("/") if url is not None else None


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of a checked `HOST:PORT`; an IPv6 host stands in brackets there."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def unusable_listen(key: str, listen: str, error: OSError, config: Path) -> SettingsError:
    """Say that nobody can listen there."""
    why = f"cannot listen on {listen} ({error.strerror})"
    return SettingsError(str(config), [f"  {key}: {why}; for example: 127.0.0.1:7480"])


def unusable_file(key: str, path: Path, error: OSError, config: Path) -> SettingsError:
    """Say that a certificate or a key cannot be used. ssl.SSLError is an OSError."""
    why = "it holds no usable PEM" if isinstance(error, SSLError) else error.strerror
    return SettingsError(
        str(config), [f"  {key}: file {path} cannot be used ({why}); for example: proxy.pem"]
    )


def _address(
    host: str, port: int, database: str, tls: UpstreamTls, where: tuple[str, Path]
) -> ServerAddress:
    key, config = where
    root = beside(config, tls.root_certificate) if tls.root_certificate else None
    address = ServerAddress(host, port, database, TlsMode(tls.mode), str(root) if root else None)
    if root is not None:
        try:
            tls_context(address)
        except OSError as error:
            raise unusable_file(key, root, error, config) from None
    return address
