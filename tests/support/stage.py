"""A stage on one server: a fresh ledger and a fresh target database with an application in it.

Roles belong to the whole server and are made once; databases are copied from templates for every
test, so that no test sees another's.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from broker.assembly.broker import open_broker
from broker.config.settings import load_settings
from broker.domain.credential import ProxyKey, client_keys, verifier_of, verifier_text
from broker.domain.server import ServerAddress, TlsMode
from broker.ledger.connection import LedgerLogin
from broker.ledger.migrate import migrate
from broker.service.broker import Broker
from tests.support.servers import Server

DEV = "dev@example.com"
OTHER_DEV = "other@example.com"
REVIEWER = "reviewer@example.com"
SECOND_REVIEWER = "second-reviewer@example.com"

PASSWORD = "only-for-tests"
PROXY_KEY = ProxyKey("k1", bytes(range(32)))
_LEDGER_TEMPLATE = "ledger_template"
_TARGET_TEMPLATE = "target_template"
_LOGINS = ("curfew", "curfew_proxy", "curfew_broker_1")
_GROUPS = ("orders_owner", "orders_writer", "orders_reader")
_SALT = bytes(range(16))
_numbers = itertools.count(1)
_prepared: set[Server] = set()
_LOGINS_OF = """
    SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles
     WHERE shobj_description(oid, 'pg_authid') LIKE $1
"""

_APPLICATION = """
    REVOKE ALL ON DATABASE {database} FROM PUBLIC;
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT CONNECT, TEMPORARY ON DATABASE {database}
        TO orders_owner, orders_writer, orders_reader;
    GRANT CONNECT ON DATABASE {database} TO curfew_broker_1;
    GRANT TEMPORARY ON DATABASE {database} TO curfew_admin;
    CREATE SCHEMA shop AUTHORIZATION orders_owner;
    GRANT USAGE ON SCHEMA shop TO orders_writer, orders_reader;
    CREATE TABLE shop.orders (id int PRIMARY KEY, item text NOT NULL);
    ALTER TABLE shop.orders OWNER TO orders_owner;
    INSERT INTO shop.orders SELECT n, 'item ' || n FROM generate_series(1, 100) AS n;
    GRANT SELECT ON shop.orders TO orders_reader;
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop.orders TO orders_writer;
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """One test's ledger and target, and the settings file that names them."""

    server: Server
    ledger_database: str
    target_database: str
    folder: Path

    @property
    def installation(self) -> str:
        return f"installation-of-{self.ledger_database}"

    @property
    def config(self) -> Path:
        return self.folder / "pgcurfew.yaml"

    def write_settings(self, **changes: Any) -> Path:
        """Write the settings; `changes` replace whole sections."""
        (self.folder / "policies.yaml").write_text(yaml.safe_dump(POLICIES))
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "proxy-key").write_text(PROXY_KEY.key.hex())
        self.config.write_text(yaml.safe_dump({**self.settings(), **changes}))
        return self.config

    def write_policies(self, *policies: dict[str, Any]) -> None:
        """Write other policies, of which each is completed: for developers, orders_reader, 8h."""
        usual = {
            "requesters": {"groups": ["developers"]},
            "resources": [{"target": "orders", "role": "orders_reader"}],
        }
        lasting = {"max_duration": "8h", "default_duration": "1h"}
        named = [
            {
                "name": f"p{n}",
                **usual,
                **({} if each.get("approval") == "deny" else lasting),
                **each,
            }
            for n, each in enumerate(policies, 1)
        ]
        text = yaml.safe_dump({"approvers": POLICIES["approvers"], "policies": named})
        (self.folder / "policies.yaml").write_text(text)

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[Broker]:
        async with open_broker(load_settings(self.config), self.config) as broker:
            yield broker

    async def query(self, sql: str, *arguments: object) -> Any:
        """Return one value from the target database, as the superuser."""
        return await self._value(self.target_database, sql, *arguments)

    async def query_ledger(self, sql: str, *arguments: object) -> Any:
        """Return one value from the ledger, as the superuser."""
        return await self._value(self.ledger_database, sql, *arguments)

    async def connect_as(
        self, login: str | None, database: str | None = None
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect past the proxy as an ephemeral login, with a password that it gave itself."""
        await self.query(f"""ALTER ROLE "{login}" PASSWORD '{PASSWORD}'""")
        return await self.server.connect(
            database or self.target_database, user=login, password=PASSWORD
        )

    def role_settings(self, **options: Any) -> dict[str, Any]:
        """Return settings of the target in which orders_owner has these options."""
        orders = self.settings()["targets"]["orders"]
        return {"orders": {**orders, "roles": {**orders["roles"], "orders_owner": options}}}

    async def logins_left(self) -> list[str]:
        """Return the names of this stage's ephemeral logins; others share the server."""
        return list(await self.query(_LOGINS_OF, f"%{self.installation}%") or [])

    def ledger_login(self, user: str = "curfew") -> LedgerLogin:
        address = ServerAddress(
            self.server.host, self.server.port, self.ledger_database, TlsMode.DISABLE
        )
        return LedgerLogin(address, user, PASSWORD)

    async def _value(self, database: str, sql: str, *arguments: object) -> Any:
        connection = await self.server.connect(database)
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    def settings(self) -> dict[str, Any]:
        where = {
            "host": self.server.host,
            "port": self.server.port,
            "tls": {"mode": "disable"},
        }
        return {
            "state_dir": "state",
            "ledger": {
                **where,
                "database": self.ledger_database,
                "user": "curfew",
                "password": "file:password",
                "proxy": {"user": "curfew_proxy", "password": "file:password"},
            },
            "keys": {"current": "k1", "proxy_keys": {"k1": "file:proxy-key"}},
            "targets": {
                "orders": {
                    **where,
                    "database": self.target_database,
                    "admin": {"user": "curfew_broker_1", "password": "file:password"},
                    "roles": {name: {} for name in _GROUPS},
                }
            },
            "identity": {
                "people": [
                    {"email": DEV, "groups": ["developers"]},
                    {"email": OTHER_DEV, "groups": ["developers"]},
                    {"email": REVIEWER, "groups": ["dba"]},
                    {"email": SECOND_REVIEWER, "groups": ["dba"]},
                ]
            },
        }


POLICIES: dict[str, Any] = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "readers",
            "requesters": {"anyone": True},
            "resources": [{"target": "orders", "role": "orders_reader"}],
            "max_duration": "8h",
        },
        {
            "name": "writers",
            "requesters": {"groups": ["developers"]},
            "resources": [
                {"target": "orders", "role": "orders_writer"},
                {"target": "orders", "role": "orders_owner"},
            ],
            "max_duration": "1h",
            "require": ["reason"],
        },
    ],
}


async def prepare(server: Server) -> None:
    """Make the roles and the two templates, once per server."""
    if server not in _prepared:
        await _prepare(server)
        _prepared.add(server)


async def _prepare(server: Server) -> None:
    main = await server.connect()
    try:
        if await main.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = 'curfew_admin'"):
            return
        if server.is_our_own:
            password = _quick_verifier(server.password)
            await main.execute(f"ALTER ROLE {server.superuser} PASSWORD '{password}'")
        for login in _LOGINS:
            password = _quick_verifier(PASSWORD)
            await main.execute(f"CREATE ROLE {login} LOGIN NOINHERIT PASSWORD '{password}'")
        for group in _GROUPS:
            await main.execute(f"CREATE ROLE {group} NOLOGIN")
        await main.execute("CREATE ROLE curfew_admin NOLOGIN CREATEROLE NOINHERIT")
        for statement in _admin_grants(server.major):
            await main.execute(statement)
        await main.execute(f"CREATE DATABASE {_LEDGER_TEMPLATE} OWNER curfew")
        await main.execute(f"CREATE DATABASE {_TARGET_TEMPLATE}")
    finally:
        await main.close()
    target = await server.connect(_TARGET_TEMPLATE)
    try:
        await target.execute(_APPLICATION.format(database=_TARGET_TEMPLATE))
    finally:
        await target.close()
    address = ServerAddress(server.host, server.port, _LEDGER_TEMPLATE, TlsMode.DISABLE)
    await migrate(LedgerLogin(address, "curfew", PASSWORD), "curfew_proxy")


def _quick_verifier(password: str) -> str:
    """One PBKDF2 round: thousands of connections are made with these."""
    return verifier_text(verifier_of(client_keys(password, _SALT, 1), _SALT, 1))


@asynccontextmanager
async def set_up(
    server: Server, folder: Path, *, databases: tuple[str, str] | None = None
) -> AsyncIterator[Stage]:
    """Yield a fresh stage; drop its databases and any login that the test left. `databases` are the
    names of its ledger and its target, where people read them."""
    number = f"{os.getpid()}_{next(_numbers)}"
    stage = Stage(server, *(databases or (f"ledger_{number}", f"orders_{number}")), folder)
    # To copy files is cheaper than to log every page, where they are not written to a disk.
    how = "STRATEGY FILE_COPY" if server.major >= 15 and server.in_memory else ""
    main = await server.connect()
    try:
        await main.execute(
            f"CREATE DATABASE {stage.ledger_database} OWNER curfew TEMPLATE {_LEDGER_TEMPLATE}"
            f" {how}"
        )
        await main.execute(
            f"CREATE DATABASE {stage.target_database} TEMPLATE {_TARGET_TEMPLATE} {how}"
        )
        # Privileges on a database are not copied with it.
        database = stage.target_database
        await main.execute(
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;"
            f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {', '.join(_GROUPS)};"
            f"GRANT CONNECT ON DATABASE {database} TO curfew_broker_1;"
            f"GRANT TEMPORARY ON DATABASE {database} TO curfew_admin"
        )
        await stage.query_ledger("UPDATE curfew.installation SET id = $1", stage.installation)
        stage.write_settings()
        yield stage
    finally:
        await _tear_down(main, stage)
        await main.close()


@contextmanager
def set_up_apart(
    server: Server, folder: Path, *, databases: tuple[str, str] | None = None
) -> Iterator[Stage]:
    """A stage for several tests, which have event loops of their own."""
    with asyncio.Runner() as runner:
        runner.run(prepare(server))
        setting_up = set_up(server, folder, databases=databases)
        stage = runner.run(setting_up.__aenter__())
        try:
            yield stage
        finally:
            runner.run(setting_up.__aexit__(None, None, None))


async def _tear_down(main: "asyncpg.Connection[asyncpg.Record]", stage: Stage) -> None:
    for database in (stage.ledger_database, stage.target_database):
        # As an own loop rather than WITH (FORCE): prepared transactions would block that.
        await main.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database
        )
    await _roll_back_prepared(main, stage)
    await main.execute(f"DROP DATABASE {stage.ledger_database} WITH (FORCE)")
    await main.execute(f"DROP DATABASE {stage.target_database} WITH (FORCE)")
    for login in await main.fetchval(_LOGINS_OF, f"%{stage.installation}%") or []:
        await main.execute(f'DROP OWNED BY "{login}"; DROP ROLE "{login}"')


async def _roll_back_prepared(main: "asyncpg.Connection[asyncpg.Record]", stage: Stage) -> None:
    rows = await main.fetch(
        "SELECT gid FROM pg_prepared_xacts WHERE database = $1", stage.target_database
    )
    for row in rows:
        target = await stage.server.connect(stage.target_database)
        try:
            await target.execute(f"ROLLBACK PREPARED '{row['gid']}'")
        finally:
            await target.close()


def _admin_grants(major: int) -> tuple[str, ...]:
    groups = ", ".join(_GROUPS)
    if major >= 16:
        return (
            f"GRANT {groups} TO curfew_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
            "GRANT pg_signal_backend TO curfew_admin WITH INHERIT TRUE, SET FALSE",
            "GRANT curfew_admin TO curfew_broker_1 WITH INHERIT FALSE, SET TRUE",
        )
    return (
        f"GRANT {groups} TO curfew_admin WITH ADMIN OPTION",
        "GRANT pg_signal_backend TO curfew_admin",
        "GRANT curfew_admin TO curfew_broker_1",
    )
