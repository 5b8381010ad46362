"""What happens at the same moment as a removal: logins, another broker, a grant of the role."""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest

from broker.domain.catalog import CatalogRole
from broker.domain.credential import client_keys, verifier_of, verifier_text
from broker.domain.grant import GrantState
from broker.domain.login_plan import LoginMark, LoginPlan
from broker.ledger.connection import transaction
from broker.ledger.serial import turn
from broker.target import connect
from broker.target.blocked import RemovalBlocked
from broker.target.connect import AdminDb, Target
from broker.target.login import give_keys, make_login
from broker.target.receipt import read_lines
from broker.target.removal import Doomed, Hooks, remove_login
from broker.target.sessions import terminate
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, PASSWORD, Stage

_AT_ONCE = 5
_CLIENTS = 4
_READER = CatalogRole("orders_reader", "", 50)
_numbers = itertools.count()


def _no_turn() -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _nothing(*_: object) -> None:
    return None


_HOOKS = Hooks(_no_turn, _nothing, _nothing)


def _plan(stage: Stage) -> LoginPlan:
    number = f"{os.getpid()}_{next(_numbers)}"
    return LoginPlan(
        name=f"jit_race_{number}",
        role=_READER,
        valid_until=datetime.now(UTC) + timedelta(hours=1),
        mark=LoginMark(stage.installation, f"grt_{number}"),
    )


def _doomed(plan: LoginPlan, oid: int) -> Doomed:
    return Doomed(plan.name, oid, plan.role.name, plan.mark)


async def _login_with_password(target: Target, stage: Stage) -> tuple[LoginPlan, int]:
    """One PBKDF2 round, so that the clients spend their time on logging in."""
    plan = _plan(stage)
    oid = await make_login(target, plan, _no_turn)
    salt = os.urandom(16)
    verifier = verifier_of(client_keys(PASSWORD, salt, 1), salt, 1)
    await give_keys(target, oid, verifier_text(verifier))
    return plan, oid


async def _log_in_all_the_time(stage: Stage, name: str, done: asyncio.Event) -> int:
    """Open session after session and keep them, until told to stop. Returns how many."""
    sessions = []
    try:
        while not done.is_set():
            try:
                sessions.append(
                    await stage.server.connect(stage.target_database, user=name, password=PASSWORD)
                )
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await asyncio.sleep(0)
    finally:
        for session in sessions:
            session.terminate()
    return len(sessions)


async def test_no_ghost_outlives_a_login_that_is_logged_in_to_all_the_while(
    stage: Stage, race_rounds: int
) -> None:
    """Four clients log in while the grant ends. DROP ROLE succeeds under an open session, which
    then lives on with what it had: two empty scans, some time apart, keep that from happening."""
    oids = []
    opened = 0

    async def race(target: Target) -> None:
        nonlocal opened
        plan, oid = await _login_with_password(target, stage)
        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            clients = [
                tasks.create_task(_log_in_all_the_time(stage, plan.name, done))
                for _ in range(_CLIENTS)
            ]
            await asyncio.sleep(0.02)
            await remove_login(target, _doomed(plan, oid), _HOOKS)
            lines = await read_lines(target, oid, plan.name)
            done.set()
        opened += sum(client.result() for client in clients)
        assert all(line.proved for line in lines)
        oids.append(oid)

    async with stage.broker() as broker:
        target = broker.context.targets["orders"]
        for _ in range(race_rounds // _AT_ONCE):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.create_task(race(target))
    ghosts = await stage.query(
        "SELECT count(*) FROM pg_stat_activity WHERE usesysid = ANY ($1::oid[])", oids
    )
    assert len(oids) == race_rounds
    assert ghosts == 0
    assert opened > race_rounds, "the clients were not quick enough to race"


@pytest.mark.sample
async def test_two_brokers_that_remove_one_login_at_the_same_moment_both_succeed(
    stage: Stage,
) -> None:
    """Not through the ledger, which keeps them apart, but straight at PostgreSQL."""
    async with stage.broker() as first, stage.broker() as second:
        targets = [each.context.targets["orders"] for each in (first, second)]
        for _ in range(10):
            plan, oid = await _login_with_password(targets[0], stage)
            session = await stage.server.connect(
                stage.target_database, user=plan.name, password=PASSWORD
            )
            await session.execute("SELECT lo_create(0)")
            await asyncio.gather(
                *(remove_login(target, _doomed(plan, oid), _HOOKS) for target in targets)
            )
            session.terminate()
            lines = await read_lines(targets[0], oid, plan.name)
            assert [line.claim for line in lines if not line.proved] == []


class _DroppedMeanwhile:
    """An admin connection under whose hands a role is dropped, right after its name was read."""

    def __init__(self, db: AdminDb, drop: Callable[[], Awaitable[object]]) -> None:
        self._db = db
        self._drop: Callable[[], Awaitable[object]] | None = drop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def fetchval(self, query: str, *args: object) -> object:
        value = await self._db.fetchval(query, *args)
        drop, self._drop = self._drop, None
        if drop is not None:
            await drop()
        return value


async def test_a_login_that_is_dropped_while_we_reach_for_its_sessions_has_none(
    stage: Stage,
) -> None:
    async with stage.broker() as broker:
        target = broker.context.targets["orders"]
        plan, oid = await _login_with_password(target, stage)
        async with target.admin() as db:
            meddled = _DroppedMeanwhile(
                db, lambda: remove_login(target, _doomed(plan, oid), _HOOKS)
            )
            assert await terminate(target, cast("AdminDb", meddled), oid) == {}
    assert not await stage.query("SELECT FROM pg_roles WHERE oid = $1::oid", oid)


async def test_a_grant_of_the_login_that_races_its_drop_is_never_hidden(stage: Stage) -> None:
    """PostgreSQL lets a GRANT commit after DROP ROLE and then keeps a membership of nobody, which
    no statement removes. We cannot prevent a superuser's, but the receipt must say it."""
    async with stage.broker() as broker:
        target = broker.context.targets["orders"]
        plan, oid = await _login_with_password(target, stage)
        other = await stage.server.connect(stage.target_database)
        try:
            await other.execute("BEGIN")
            await other.execute(f'GRANT orders_writer TO "{plan.name}"')
            await remove_login(target, _doomed(plan, oid), _HOOKS)
            await other.execute("COMMIT")
            lines = await read_lines(target, oid, plan.name)
        finally:
            await other.execute("DELETE FROM pg_auth_members WHERE member = $1::oid", oid)
            await other.execute("DELETE FROM pg_shdepend WHERE refobjid = $1::oid", oid)
            await other.close()
    unproved = [line.claim for line in lines if not line.proved]
    assert unproved in ([], ["no membership in it or of it"])
    count = next(line.count for line in lines if line.claim == "no membership in it or of it")
    assert count == len(unproved)


@pytest.mark.newest
async def test_a_broker_that_is_busy_does_not_call_its_target_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds all of the broker's connections in use waits for one, longer than a connection may
    take to be made."""
    async with stage.broker() as broker:
        target = broker.context.targets["orders"]

        async def wait() -> str:
            async with target.admin() as db:
                return str(await db.fetchval("SELECT current_database()"))

        async with AsyncExitStack() as stack:
            for _ in range(connect._POOL_SIZE):
                await stack.enter_async_context(target.admin())
            monkeypatch.setattr(connect, "_CONNECT_TIMEOUT_S", 0.05)
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(wait())
                await asyncio.wait([waiting], timeout=0.2)
                await stack.aclose()
        assert waiting.result() == stage.target_database


@pytest.mark.sample
async def test_brokers_take_turns_at_role_ddl_on_a_target(stage: Stage) -> None:
    """Ten grants of one role at once through two brokers: each waits for its turn, none fails."""
    async with stage.broker() as first, stage.broker() as second:
        given = await asyncio.gather(
            *(get_grant(broker) for broker in (first, second) for _ in range(5))
        )
        assert {each.grant.state for each in given} == {GrantState.ACTIVE}
        dev = await get_person(first, DEV)
        ended = await asyncio.gather(
            *(
                broker.relinquish(each.grant.id, dev)
                for broker, each in zip(itertools.cycle((first, second)), given, strict=False)
            )
        )
    assert {each.grant.state for each in ended} == {GrantState.ENDED}
    assert await stage.logins_left() == []


async def test_a_turn_ends_with_its_block_whatever_happens_in_it(stage: Stage) -> None:
    async with stage.broker() as broker:
        pool = broker.context.ledger
        for _ in range(2):
            async with transaction(pool) as db:
                with pytest.raises(RemovalBlocked):
                    async with turn(db, "orders"):
                        raise RemovalBlocked("orders", "something holds it")
                # Still in the transaction, and another broker has its turn already.
                async with transaction(pool) as another, turn(another, "orders"):
                    assert await another.fetchval("SELECT 1") == 1
