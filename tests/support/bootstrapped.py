"""A target whose admin role, broker login and catalog roles are a test's own, for tests that
prepare servers or take rights away: the usual ones belong to all tests."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from broker.domain.bootstrap.script import BootstrapPlan
from broker.domain.credential import password_verifier
from broker.domain.server import ServerAddress, TlsMode
from broker.target.bootstrap import Applied, apply_bootstrap
from tests.support.stage import PASSWORD, Stage

_numbers = itertools.count(1)
_SALT = bytes(range(16))


@dataclass(frozen=True, slots=True)
class Bare:
    """A target that nothing is prepared on but an application and its catalog roles.

    `runner` is who prepares it: the superuser, or a master as managed services have.
    """

    stage: Stage
    admin: str
    login: str
    reader: str
    owner: str
    runner: str
    runner_password: str

    @property
    def dsn(self) -> str:
        server = self.stage.server
        where = f"{server.host}:{server.port}/postgres?sslmode=disable"
        return f"postgresql://{self.runner}:{self.runner_password}@{where}"

    @property
    def address(self) -> ServerAddress:
        server, database = self.stage.server, self.stage.target_database
        return ServerAddress(server.host, server.port, database, TlsMode.DISABLE)

    def plan(self, *more_roles: str, restricted: bool = False) -> BootstrapPlan:
        return BootstrapPlan(
            target="orders",
            database=self.stage.target_database,
            admin=self.admin,
            login=self.login,
            catalog_roles=(self.reader, self.owner, *more_roles),
            restricted=restricted,
            verifier=password_verifier(PASSWORD, _SALT),
        )

    async def apply(self, *more_roles: str, restricted: bool = False) -> Applied:
        plan = self.plan(*more_roles, restricted=restricted)
        return await apply_bootstrap(self.dsn, self.address, plan)

    def write_settings(
        self,
        admin: dict[str, Any] | None = None,
        sections: dict[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """Let the stage's settings name these roles; `changes` are keys of the target."""
        target = self.stage.settings()["targets"]["orders"] | {
            "admin": {
                "user": self.login,
                "password": "file:password",
                "role": self.admin,
                **(admin or {}),
            },
            "roles": {self.reader: {}, self.owner: {}},
            **changes,
        }
        self.stage.write_settings(targets={"orders": target}, **(sections or {}))
        rule = {
            "name": "all",
            "requesters": {"anyone": True},
            "resources": [{"target": "orders"}],
            "max_duration": "1h",
        }
        policies = {"approvers": {"groups": ["dba"]}, "policies": [rule]}
        (self.stage.folder / "policies.yaml").write_text(yaml.safe_dump(policies))

    async def sql(self, statement: str, *arguments: object) -> Any:
        """Run it as the superuser in the target's database; return its first value."""
        return await self.stage.query(statement, *arguments)


@asynccontextmanager
async def bare_target(stage: Stage, *, master: bool = False) -> AsyncIterator[Bare]:
    """Yield a target to prepare; take its roles away again, and what was made with them.

    With `master`, a role without SUPERUSER has made the catalog roles and owns the database.
    """
    end = f"{os.getpid()}_{next(_numbers)}"
    bare = Bare(
        stage,
        f"admin_{end}",
        f"broker_{end}",
        f"reader_{end}",
        f"owner_{end}",
        f"master_{end}" if master else stage.server.superuser,
        PASSWORD if master else stage.server.password,
    )
    if master:
        await bare.sql(f"CREATE ROLE {bare.runner} LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'")
        await bare.sql(f"ALTER DATABASE {stage.target_database} OWNER TO {bare.runner}")
    try:
        await _make_roles(bare)
        yield bare
    finally:
        await _clean_up(bare, master=master)


async def _make_roles(bare: Bare) -> None:
    maker = await bare.stage.server.connect(
        bare.stage.target_database, user=bare.runner, password=bare.runner_password
    )
    try:
        for role in (bare.reader, bare.owner):
            await maker.execute(f"CREATE ROLE {role} NOLOGIN")
            await maker.execute(
                f"GRANT CONNECT, TEMPORARY ON DATABASE {bare.stage.target_database} TO {role}"
            )
    finally:
        await maker.close()
    await bare.sql(f"GRANT USAGE ON SCHEMA shop TO {bare.reader}")
    await bare.sql(f"GRANT SELECT ON shop.orders TO {bare.reader}")
    await bare.sql(f"GRANT CREATE, USAGE ON SCHEMA shop TO {bare.owner}")


async def _clean_up(bare: Bare, *, master: bool) -> None:
    ours = [bare.login, bare.admin, bare.reader, bare.owner, *([bare.runner] if master else [])]
    await bare.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", bare.login
    )
    roles = [
        *await bare.stage.logins_left(),
        *(
            await bare.sql(
                "SELECT array_agg(rolname::text) FROM pg_roles WHERE rolname = ANY ($1)", ours
            )
            or []
        ),
    ]
    if master:
        await bare.sql(f"ALTER DATABASE {bare.stage.target_database} OWNER TO CURRENT_USER")
    if not roles:
        return
    names = ", ".join(f'"{role}"' for role in roles)
    await bare.sql(f"DROP OWNED BY {names} CASCADE")
    await bare.sql(f"DROP ROLE {names}")
