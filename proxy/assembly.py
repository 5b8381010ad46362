"""Settings → what a worker lives by. Opens the files they name; only entry points use it."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from broker.config.faults import SettingsError
from broker.config.network_file import Network, read_allowed, read_networks
from broker.config.settings import OwnNetworks, Settings, TargetSettings, beside, load_settings
from broker.endpoints import (
    proxy_certificate_files,
    public_url,
    read_proxy_keys,
    read_ticket_public_keys,
    target_address,
    unusable_file,
)
from broker.ledger.bans import ThrottleRules
from proxy.deadlines import SessionRules
from proxy.dial import Upstream
from proxy.ipfilter import IpFilter, Layer, NetworkSet
from proxy.own_certificate import CertificateFiles, ensure_certificate
from proxy.refusals import Guide
from proxy.rules import Limits, RoleRules, Rules, TargetRules
from proxy.spool.writer import SpoolRules
from proxy.tls import CertificateWatch, ClientCertificates, ClientTlsFiles

_log = logging.getLogger(__name__)


def read_rules(config: Path) -> Rules:
    """Read everything anew, so that faults show before anything is changed. Raises SettingsError or
    OSError."""
    settings = load_settings(config)
    proxy = settings.proxy
    keys = read_proxy_keys(settings, config)
    return Rules(
        certificates=_certificates(settings, config),
        tls_required=proxy.tls.required,
        networks=_filter(proxy.networks, "proxy.networks", Layer.SETTINGS, config),
        behind=NetworkSet(proxy.behind),
        targets={
            name: _target(settings, name, target, config)
            for name, target in settings.targets.items()
        },
        sessions=SessionRules(
            idle_timeout=proxy.sessions.idle_timeout,
            longest=proxy.sessions.longest,
            warn_before=proxy.sessions.warn_before,
        ),
        proxy_keys=keys,
        current_key=keys[settings.keys.current],
        throttle=ThrottleRules(
            failures=proxy.throttle.failures,
            window=proxy.throttle.window,
            ban=proxy.throttle.ban,
        ),
        limits=Limits(
            half_open=proxy.limits.half_open,
            half_open_per_address=proxy.limits.half_open_per_address,
            cancels_per_s=proxy.limits.cancels_per_second,
            explained_refusals_per_s=proxy.limits.explained_refusals_per_second,
        ),
        guide=Guide(public_url(settings)),
        startup_timeout_s=proxy.startup_timeout.total_seconds(),
        longest_text=settings.audit.longest_text,
        tickets=read_ticket_public_keys(settings, config),
    )


def spool_rules(settings: Settings) -> SpoolRules:
    spool = settings.audit.spool
    return SpoolRules(
        limit=spool.limit,
        segment=spool.segment,
        refuse_at=spool.refuse_at / 100,
        holds=spool.when_full == "hold",
    )


def read_rules_again(config: Path) -> Rules | None:
    """Return None, and say why in the log, if what is written there now cannot be used."""
    try:
        return read_rules(config)
    except (SettingsError, OSError) as error:
        # The operator's fault, not ours.
        _log.error("the new settings are unusable, the old ones stay: %s", error)
        return None


def _target(settings: Settings, name: str, target: TargetSettings, config: Path) -> TargetRules:
    where = f"targets.{name}"
    return TargetRules(
        upstream=Upstream(target_address(settings, config, name)),
        networks=_filter(target.networks, f"{where}.networks", Layer.TARGET, config),
        roles={
            role: RoleRules(
                networks=_filter(
                    own.networks, f"{where}.roles.{role}.networks", Layer.ROLE, config
                ),
                sessions=SessionRules(idle_timeout=own.idle_timeout, longest=own.longest_session),
            )
            for role, own in target.roles.items()
        },
    )


def _filter(lists: OwnNetworks, key: str, layer: Layer, config: Path) -> IpFilter:
    def read(paths: Iterable[Path], which: str) -> Iterable[Network]:
        reader = read_allowed if which == "allow_files" else read_networks
        for path in paths:
            file = beside(config, path)
            try:
                yield from reader(file)
            except OSError as error:
                raise unusable_file(f"{key}.{which}", file, error, config) from None
            except ValueError as error:
                raise SettingsError(str(config), [f"  {key}.{which}: {error}"]) from None

    return IpFilter(
        allow=[*lists.allow, *read(lists.allow_files, "allow_files")],
        deny=[*lists.deny, *read(lists.deny_files, "deny_files")],
        layer=layer,
    )


def _certificates(settings: Settings, config: Path) -> CertificateWatch:
    tls = settings.proxy.tls
    certificate, key, root = proxy_certificate_files(settings, config)
    if tls.certificate is None:
        names = [settings.proxy.public_host, "localhost", "127.0.0.1", "::1"]
        if ensure_certificate(CertificateFiles(certificate, key, root), names, datetime.now(UTC)):
            _log.info("made a certificate; clients trust it through %s", root)
    client_ca = beside(config, tls.client_ca) if tls.client_ca is not None else None
    files = ClientTlsFiles(certificate, key, client_ca, ClientCertificates(tls.client_certificates))
    try:
        return CertificateWatch(files)
    except OSError as error:
        where = "proxy.tls.certificate, proxy.tls.key and proxy.tls.client_ca"
        raise unusable_file(where, certificate, error, config) from None
