"""Joins the broker's parts from settings. Entry points call this; nothing else does."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from broker.assembly.admin_password import AdminPassword
from broker.assembly.audit_key import AuditKey
from broker.assembly.identity import open_verifier
from broker.assembly.oncall import open_on_call
from broker.assembly.operator_files import FilesOnDisk
from broker.assembly.sign_in import flows_of, sign_in_terms
from broker.config.session_parameters import parameters_of
from broker.config.settings import CatalogRoleSettings, Settings, beside
from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.endpoints import (
    ledger_login,
    proxy_root_certificate,
    public_url,
    read_proxy_keys,
    sink_address,
    target_address,
)
from broker.ledger import installation
from broker.ledger.connection import open_pool, transaction
from broker.ledger.revision import require_newest
from broker.oncall.asking import Asking
from broker.service.broker import Broker
from broker.service.context import Context, Entrance, RecordTerms, TargetTerms
from broker.service.in_force import Live
from broker.sink.sending import open_sender
from broker.target.connect import AdminLogin, open_target
from broker.tls import web_context

_LEDGER_POOL = 10
# Somebody who asks waits for this; a vendor that takes longer has nobody on call.
_VENDOR_DEADLINE = timedelta(seconds=3)


@asynccontextmanager
async def open_broker(settings: Settings, config: Path) -> AsyncIterator[Broker]:
    """Yield a broker whose ledger is there and up to date. Targets may be down.

    Raises SettingsError, LedgerUnavailable or LedgerOutdated.
    """
    files = FilesOnDisk(config, settings)
    live = Live(files.read_first())
    proxy_key = read_proxy_keys(settings, config)[settings.keys.current]
    login = ledger_login(settings, config)
    await require_newest(login)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(login, "pgcurfew broker", _LEDGER_POOL))
        async with transaction(pool) as db:
            installation_id = await installation.fetch_id(db)
        now = partial(datetime.now, UTC)
        asking = Asking(web_context(), _VENDOR_DEADLINE, now)
        on_call, pager = stack.enter_context(open_on_call(settings.oncall, config, asking))
        targets, terms = {}, {}
        for name, target in settings.targets.items():
            key = f"targets.{name}.admin.password"
            password = AdminPassword(target.admin.password, key, config)
            terms[name] = TargetTerms(
                password=password,
                rotate_every=target.admin.rotate_every,
                removes_unknown_logins=target.unknown_logins == "remove",
            )
            admin = AdminLogin(
                target.admin.user, password, target.admin.role, target.admin.restricted
            )
            address = target_address(settings, config, name)
            standbys = tuple(
                replace(address, host=each.host, port=each.port) for each in target.standbys
            )
            targets[name] = await stack.enter_async_context(
                open_target(name, address, admin, standbys)
            )
        sink_at = sink_address(settings, config)
        sink = await stack.enter_async_context(open_sender(sink_at)) if sink_at else None
        verifier = await stack.enter_async_context(open_verifier(settings.identity, now))
        yield Broker(
            Context(
                ledger=pool,
                targets=targets,
                terms=terms,
                catalog=_catalog(settings),
                live=live,
                files=files,
                verifier=verifier,
                flows=flows_of(settings.identity),
                sign_in=sign_in_terms(settings, config),
                egress=settings.proxy.egress,
                entrance=_entrance(settings, config),
                public_url=public_url(settings),
                proxy_key=proxy_key,
                installation=installation_id,
                on_call=on_call,
                pager=pager,
                record=RecordTerms(
                    signing=AuditKey(settings, config),
                    checkpoint_every=settings.audit.checkpoint_every,
                    keep_statements=settings.audit.keep_statements,
                ),
                sink=sink,
                host=socket.gethostname(),
                now=now,
                random=os.urandom,
            )
        )


def _catalog(settings: Settings) -> Catalog:
    return Catalog(
        {
            name: CatalogTarget(
                name,
                target.database,
                {role: _catalog_role(role, each) for role, each in target.roles.items()},
                target.sensitive_columns,
            )
            for name, target in settings.targets.items()
        }
    )


def _catalog_role(name: str, settings: CatalogRoleSettings) -> CatalogRole:
    return CatalogRole(
        name,
        settings.description,
        settings.connection_limit,
        settings.kinds,
        settings.inherit,
        settings.set_role,
        parameters_of(settings),
        settings.pin_address,
    )


def _entrance(settings: Settings, config: Path) -> Entrance:
    proxy = settings.proxy
    root = proxy.tls.root_certificate
    return Entrance(
        host=proxy.public_host,
        port=proxy.public_port or int(proxy.listen.rpartition(":")[2]),
        sslmode="verify-full" if proxy.tls.required else "prefer",
        root_certificate=(
            proxy_root_certificate(settings, config)
            if root is None
            else root
            if root == "system"
            else beside(config, Path(root))
        ),
    )
