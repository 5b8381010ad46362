"""Joins the broker's parts from settings. Entry points call this; nothing else does."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.domain.person import Person
from broker.endpoints import (
    ledger_login,
    proxy_root_certificate,
    read_proxy_keys,
    target_address,
)
from broker.ledger import installation
from broker.ledger.connection import open_pool, transaction
from broker.ledger.revision import require_newest
from broker.policy_file import load_policies
from broker.service.broker import Broker
from broker.service.context import Context, Directory, Entrance
from broker.settings import Settings, beside, read_secret
from broker.target.connect import AdminLogin, open_target

_LEDGER_POOL = 10


@asynccontextmanager
async def open_broker(settings: Settings, config: Path) -> AsyncIterator[Broker]:
    """Yield a broker whose ledger is there and up to date. Targets may be down.

    Raises SettingsError, LedgerUnavailable or LedgerOutdated.
    """
    policies = load_policies(settings, config)
    proxy_key = read_proxy_keys(settings, config)[settings.keys.current]
    login = ledger_login(settings, config)
    await require_newest(login)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(login, "pgcurfew broker", _LEDGER_POOL))
        async with transaction(pool) as db:
            installation_id = await installation.fetch_id(db)
        targets = {}
        for name, target in settings.targets.items():
            admin = AdminLogin(
                target.admin.user,
                read_secret(target.admin.password, f"targets.{name}.admin.password", config),
                target.admin.role,
            )
            address = target_address(settings, config, name)
            targets[name] = await stack.enter_async_context(open_target(name, address, admin))
        yield Broker(
            Context(
                ledger=pool,
                targets=targets,
                catalog=_catalog(settings),
                policies=policies,
                directory=_directory(settings),
                entrance=_entrance(settings, config),
                proxy_key=proxy_key,
                installation=installation_id,
                request_lapses_after=settings.policies.request_lapses_after,
                now=lambda: datetime.now(UTC),
                random=os.urandom,
            )
        )


def _catalog(settings: Settings) -> Catalog:
    return Catalog(
        {
            name: CatalogTarget(
                name,
                target.database,
                {
                    role: CatalogRole(role, each.description, each.connection_limit)
                    for role, each in target.roles.items()
                },
            )
            for name, target in settings.targets.items()
        }
    )


def _directory(settings: Settings) -> Directory:
    # Ids belong to the ledger; until it has met a person there is none.
    return Directory(
        {
            each.email: Person("", each.email, each.name or each.email, each.groups)
            for each in settings.identity.people
        }
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
