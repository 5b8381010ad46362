"""Settings → addresses, logins and keys. Opens only the secrets that the caller asks for, so that a
process holds no others. Knows nothing of targets but where they are.
"""

from pathlib import Path
from ssl import SSLError

from broker.domain.credential import PROXY_KEY_BYTES, ProxyKey
from broker.domain.server import ServerAddress, TlsMode
from broker.ledger.connection import LedgerLogin
from broker.settings import Settings, UpstreamTls, beside, read_secret
from broker.settings_faults import SettingsError
from broker.tls import tls_context


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
