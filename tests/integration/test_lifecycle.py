"""The life of a grant on a real PostgreSQL: asked for, made, handed out, ended, proved gone."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import asyncpg
import pytest

from broker.domain.credential import client_keys, target_keys
from broker.domain.errors import (
    DurationTooLong,
    IllegalTransition,
    NotApprover,
    NotFound,
    NotReady,
    ReasonRequired,
    RoleUnusable,
    SelfApproval,
    UnknownRole,
    UnknownTarget,
)
from broker.domain.grant import GrantEvent, GrantState
from broker.domain.request import RequestState
from broker.reaper import do_what_is_due
from broker.service.approvals import Consent
from broker.service.broker import Approved, Broker
from broker.service.grants import GrantDetails
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, OTHER_DEV, PROXY_KEY, REVIEWER, SECOND_REVIEWER, Stage

_ROLE = """
    SELECT rolcanlogin, rolinherit, rolsuper, rolcreatedb, rolcreaterole, rolreplication,
           rolbypassrls, rolconnlimit, rolvaliduntil, rolpassword
      FROM pg_authid WHERE rolname = $1
"""


def at(broker: Broker, moment: datetime) -> Broker:
    """Return the same broker at another time."""
    return Broker(replace(broker.context, now=lambda: moment))


def later(broker: Broker, after: timedelta) -> Broker:
    return at(broker, datetime.now(UTC) + after)


def _offer(stage: Stage, role: str) -> None:
    """Put the role into the catalog and into a policy."""
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "roles": {**orders["roles"], role: {}}}})
    policies = stage.folder / "policies.yaml"
    policies.write_text(policies.read_text().replace("role: orders_reader", f"role: {role}"))


async def end_of(stage: Stage, broker: Broker, details: GrantDetails) -> GrantDetails:
    dev = await get_person(broker, DEV)
    assert await stage.logins_left() == []
    return await broker.grants.get(details.grant.id, dev)


async def test_an_approval_makes_a_login_that_can_do_nothing_but_be_a_member(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        assert details.grant.state is GrantState.ACTIVE
        connection = await stage.server.connect(stage.target_database)
        row = await connection.fetchrow(_ROLE, details.login)
        groups = await connection.fetch(
            "SELECT roleid::regrole::text AS name, to_jsonb(m) AS options FROM pg_auth_members m "
            "WHERE member = $1::text::regrole",
            f'"{details.login}"',
        )
        await connection.close()
    assert row is not None
    assert row["rolcanlogin"]
    assert row["rolinherit"]
    forbidden = ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls")
    assert not any(row[name] for name in forbidden)
    assert row["rolconnlimit"] == 10
    assert row["rolvaliduntil"] == details.grant.expires_at
    assert row["rolpassword"] is None, "a login has no password before a secret is handed out"
    assert [group["name"] for group in groups] == ["orders_reader"]
    if stage.server.major >= 16:
        assert '"set_option": false' in groups[0]["options"]
        assert '"inherit_option": true' in groups[0]["options"]


async def test_a_secret_is_kept_nowhere_and_the_login_has_keys_of_no_password(
    stage: Stage,
) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        credential = await broker.grants.hand_out(details.grant.id, dev, source=None)
    verifier = await stage.query(
        "SELECT rolpassword FROM pg_authid WHERE rolname = $1", details.login
    )
    salt = await stage.query_ledger("SELECT salt FROM curfew.logins")
    user_keys = client_keys(credential.password, salt, 4096)
    keys = target_keys(PROXY_KEY, details.grant.id, user_keys.client_key)
    stored, server = (
        b64encode(key).decode() for key in (sha256(keys.client_key).digest(), keys.server_key)
    )
    assert verifier.startswith("SCRAM-SHA-256$1:")
    assert verifier.endswith(f"${stored}:{server}")
    everything = await stage.query_ledger(
        "SELECT string_agg(t::text, '') FROM (SELECT to_jsonb(l) FROM curfew.logins l "
        "UNION ALL SELECT to_jsonb(a) FROM curfew.audit_events a) AS x(t)"
    )
    assert credential.password not in everything


async def test_handing_out_again_replaces_the_secret(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        verifiers = []
        for _ in range(2):
            await broker.grants.hand_out(details.grant.id, dev, source=None)
            verifiers.append(
                await stage.query(
                    "SELECT rolpassword FROM pg_authid WHERE rolname = $1", details.login
                )
            )
    assert verifiers[0] != verifiers[1]


async def test_no_verifier_reaches_the_server_log(stage: Stage) -> None:
    """Even with log_statement = all, and with every statement's duration and errors logged."""
    if stage.server.log is None:
        pytest.skip("this server's log is out of our reach")
    admin = await stage.server.connect()
    try:
        for setting in ("log_statement = 'all'", "log_min_duration_statement = 0"):
            await admin.execute(f"ALTER ROLE curfew_broker_1 SET {setting}")
        async with stage.broker() as broker:
            details = await get_grant(broker)
            dev = await get_person(broker, DEV)
            await broker.grants.hand_out(details.grant.id, dev, source=None)
    finally:
        await admin.execute("ALTER ROLE curfew_broker_1 RESET ALL")
        await admin.close()
    log = stage.server.log.read_text()
    verifier = await stage.query(
        "SELECT rolpassword FROM pg_authid WHERE rolname = $1", details.login
    )
    assert str(details.login) in log, "the log was not what we think it is"
    assert verifier.rpartition("$")[2] not in log
    assert "SCRAM-SHA-256$1:" not in log


@pytest.mark.newest
async def test_nobody_approves_their_own_request(stage: Stage) -> None:
    async with stage.broker() as broker:
        reviewer = await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), reviewer)
        with pytest.raises(SelfApproval):
            await broker.approve(asked.request.id, reviewer, Consent())
        found = await broker.requests.get(asked.request.id, reviewer)
    assert found.request.state is RequestState.PENDING


@pytest.mark.newest
async def test_a_stranger_neither_sees_nor_decides_a_request(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, other = await get_person(broker, DEV), await get_person(broker, OTHER_DEV)
        asked = await broker.ask(wish(), dev)
        with pytest.raises(NotFound):
            await broker.requests.get(asked.request.id, other)
        with pytest.raises(NotFound):
            await broker.approve(asked.request.id, other, Consent())
        with pytest.raises(NotFound):
            await broker.requests.cancel(asked.request.id, other)


@pytest.mark.newest
async def test_a_request_outside_policy_says_what_is_allowed(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        with pytest.raises(UnknownTarget, match="you may ask for orders"):
            await broker.ask(wish(target="elsewhere"), dev)
        with pytest.raises(UnknownRole, match="orders_owner, orders_reader, orders_writer"):
            await broker.ask(wish("postgres"), dev)
        with pytest.raises(DurationTooLong, match="'readers' allows at most 8h"):
            await broker.ask(wish(duration=timedelta(hours=9)), dev)
        with pytest.raises(ReasonRequired, match="'writers' wants a reason"):
            await broker.ask(wish("orders_writer", reason=" "), dev)
        reviewer = await get_person(broker, REVIEWER)
        with pytest.raises(UnknownRole, match=r"you may ask for orders_reader$"):
            await broker.ask(wish("orders_writer"), reviewer)


@pytest.mark.newest
async def test_of_two_approvals_at_once_one_wins_and_the_other_is_told(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        reviewers = [await get_person(broker, who) for who in (REVIEWER, SECOND_REVIEWER)]
        asked = await broker.ask(wish(), dev)
        outcomes = await asyncio.gather(
            *(broker.approve(asked.request.id, reviewer, Consent()) for reviewer in reviewers),
            return_exceptions=True,
        )
    won = [each for each in outcomes if isinstance(each, Approved)]
    lost = [each for each in outcomes if isinstance(each, IllegalTransition)]
    assert (len(won), len(lost)) == (1, 1)
    assert str(lost[0]).endswith("is approved: it cannot be approved now")
    assert len(await stage.logins_left()) == 1


@pytest.mark.newest
async def test_the_approver_picks_the_duration_within_what_was_asked_for(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        with pytest.raises(DurationTooLong, match=r"request req_.* allows at most 1h"):
            await broker.approve(asked.request.id, reviewer, Consent(duration=timedelta(hours=2)))
        five = Consent(duration=timedelta(minutes=5))
        given = (await broker.approve(asked.request.id, reviewer, five)).given
    assert given.grant.expires_at - given.grant.granted_at == timedelta(minutes=5)


@pytest.mark.newest
async def test_a_denied_request_stays_denied(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        denied = await broker.deny(asked.request.id, reviewer, reason="not today")
        assert denied.request.state is RequestState.DENIED
        assert denied.decisions[0].comment == "not today"
        with pytest.raises(IllegalTransition):
            await broker.approve(asked.request.id, reviewer, Consent())
    assert await stage.logins_left() == []


@pytest.mark.newest
async def test_a_request_that_nobody_answers_lapses(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        asked = await broker.ask(wish(), dev)
        await do_what_is_due(later(broker, timedelta(hours=23)))
        assert (await broker.requests.get(asked.request.id, dev)).request.state == "pending"
        await do_what_is_due(later(broker, timedelta(hours=25)))
        assert (await broker.requests.get(asked.request.id, dev)).request.state == "lapsed"


async def test_relinquishing_removes_the_login_and_proves_it(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        with pytest.raises(NotReady):
            await broker.grants.get_receipt(details.grant.id, dev)
        ended = await broker.relinquish(details.grant.id, dev)
        receipt = await broker.grants.get_receipt(details.grant.id, dev)
        with pytest.raises(NotReady, match="has ended"):
            await broker.grants.hand_out(details.grant.id, dev, source=None)
        with pytest.raises(IllegalTransition):
            await broker.relinquish(details.grant.id, dev)
    assert ended.grant.state is GrantState.ENDED
    assert ended.grant.end_reason is GrantEvent.RELINQUISHED
    assert ended.grant.ended_by == DEV
    assert [line["count"] for line in receipt.facts["lines"]] == [0] * 8
    assert receipt.facts["proved"]
    assert receipt.facts["login"] == details.login
    assert await stage.logins_left() == []


@pytest.mark.sample
async def test_an_approver_revokes_and_the_person_does_not(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        with pytest.raises(NotApprover):
            await broker.revoke(details.grant.id, dev, reason="")
        with pytest.raises(NotFound):
            await broker.relinquish(details.grant.id, reviewer)
        ended = await broker.revoke(details.grant.id, reviewer, reason="wrong database")
    assert ended.grant.end_reason is GrantEvent.REVOKED
    assert (ended.grant.ended_by, ended.grant.end_comment) == (REVIEWER, "wrong database")
    assert await stage.logins_left() == []


@pytest.mark.sample
async def test_a_grant_ends_at_its_curfew_without_anybody_asking(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, duration=timedelta(minutes=10))
        await do_what_is_due(at(broker, details.grant.expires_at - timedelta(seconds=1)))
        assert await stage.logins_left() == [details.login]
        await do_what_is_due(at(broker, details.grant.expires_at))
        ended = await end_of(stage, broker, details)
    assert ended.grant.state is GrantState.ENDED
    assert ended.grant.end_reason is GrantEvent.EXPIRED


async def test_what_a_login_made_goes_to_its_group_and_its_sessions_end(stage: Stage) -> None:
    """Objects in two databases, a large object, and a session that sits in a transaction."""
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        await stage.query(f"""ALTER ROLE "{details.login}" PASSWORD 'known to the test'""")
        sessions = [
            await stage.server.connect(database, user=details.login, password="known to the test")
            for database in (stage.target_database, "postgres")
        ]
        await sessions[0].execute("CREATE TABLE shop.made (id int); SELECT lo_create(0)")
        await sessions[0].execute("BEGIN; LOCK TABLE shop.made; INSERT INTO shop.made VALUES (1)")
        await sessions[1].execute("SELECT lo_create(0)")
        dev = await get_person(broker, DEV)
        ended = await broker.relinquish(details.grant.id, dev)
        receipt = await broker.grants.get_receipt(details.grant.id, dev)
    assert ended.grant.state is GrantState.ENDED
    assert receipt.facts["sessions_ended"] == 2
    cleaned = receipt.facts["databases_cleaned"]
    assert sorted(cleaned) == sorted([stage.target_database, "postgres"])
    owner = await stage.query("SELECT tableowner FROM pg_tables WHERE tablename = 'made'")
    assert owner == "orders_owner"
    for session in sessions:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await session.fetchval("SELECT 1")
    main = await stage.server.connect()
    await main.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    await main.close()
    assert await stage.logins_left() == []


@pytest.mark.sample
async def test_every_change_of_state_is_in_the_audit_trail(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        await broker.grants.hand_out(details.grant.id, dev, source="192.0.2.7")
        await broker.relinquish(details.grant.id, dev)
    connection = await stage.server.connect(stage.ledger_database)
    rows = await connection.fetch(
        "SELECT kind, actor FROM curfew.audit_events WHERE request_id IS NOT NULL ORDER BY seq"
    )
    await connection.close()
    assert [(row["kind"], row["actor"]) for row in rows] == [
        ("request.made", DEV),
        ("request.consented", REVIEWER),
        ("request.approved", REVIEWER),
        ("grant.provisioned", "system"),
        ("grant.credential_handed_out", DEV),
        ("grant.ending", DEV),
        ("grant.ended", "system"),
    ]


@pytest.mark.sample
async def test_without_an_audit_row_nothing_changes(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        await stage.query_ledger("ALTER TABLE curfew.audit_events RENAME TO away")
        with pytest.raises(asyncpg.UndefinedTableError):
            await broker.approve(asked.request.id, reviewer, Consent())
        await stage.query_ledger("ALTER TABLE curfew.away RENAME TO audit_events")
        found = await broker.requests.get(asked.request.id, dev)
    assert found.request.state is RequestState.PENDING
    assert await stage.logins_left() == []


@pytest.mark.sample
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE curfew.audit_events SET actor = 'nobody'",
        "DELETE FROM curfew.audit_events",
        "TRUNCATE curfew.audit_events",
    ],
)
async def test_the_audit_trail_is_append_only(stage: Stage, statement: str) -> None:
    async with stage.broker() as broker:
        await get_grant(broker)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await stage.query_ledger(statement)


@pytest.mark.sample
async def test_a_target_that_is_down_is_tried_again_and_said_to_be_down(stage: Stage) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "port": 1}})
    async with stage.broker() as broker:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        health = await broker.health.check("orders")
        with pytest.raises(NotReady, match="'orders' cannot be reached"):
            await broker.grants.hand_out(details.grant.id, dev, source=None)
    assert details.grant.state is GrantState.PROVISIONING
    assert details.grant.last_error == "target 'orders' cannot be reached at the moment"
    assert not health.reachable
    stage.write_settings()
    async with stage.broker() as broker:
        await do_what_is_due(later(broker, timedelta(minutes=1)))
        dev = await get_person(broker, DEV)
        found = await broker.grants.get(details.grant.id, dev)
    assert found.grant.state is GrantState.ACTIVE
    assert await stage.logins_left() == [details.login]


@pytest.mark.sample
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        ("SELECT 1", "role {role} does not exist"),
        ("CREATE ROLE {role} LOGIN", "role {role} has LOGIN"),
        ("CREATE ROLE {role} SUPERUSER", "role {role} has SUPERUSER"),
        ("CREATE ROLE {role}; GRANT pg_execute_server_program TO {role}", "member of pg_execute"),
        ("CREATE ROLE {role}; GRANT {superuser} TO {role}", "a superuser"),
        ("CREATE ROLE {role}; GRANT {role} TO {superuser}", "is granted to superuser {superuser}"),
    ],
)
async def test_a_role_that_nobody_may_be_given_is_refused_when_asked_for(
    stage: Stage, make: str, reason: str
) -> None:
    role = f"odd_{stage.target_database}"
    _offer(stage, role)
    words = {"role": role, "superuser": stage.server.superuser}
    main = await stage.server.connect()
    try:
        await main.execute(make.format(**words))
        async with stage.broker() as broker:
            dev = await get_person(broker, DEV)
            with pytest.raises(RoleUnusable, match=reason.format(**words)):
                await broker.ask(wish(role), dev)
            health = await broker.health.check("orders")
    finally:
        await main.execute(f"DROP ROLE IF EXISTS {role}")
        await main.close()
    assert reason.format(**words) in "; ".join(health.role_faults[role])


@pytest.mark.sample
async def test_a_grant_that_can_never_be_provisioned_fails_and_says_why(stage: Stage) -> None:
    """The role was fine when it was asked for."""
    role = f"odd_{stage.target_database}"
    _offer(stage, role)
    await stage.query(f"CREATE ROLE {role}")
    await stage.query(f"GRANT {role} TO curfew_admin WITH ADMIN OPTION")
    await stage.query(f"GRANT CONNECT ON DATABASE {stage.target_database} TO {role}")
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(role), dev)
        await stage.query(f"DROP OWNED BY {role}")
        await stage.query(f"DROP ROLE {role}")
        details = (await broker.approve(asked.request.id, reviewer, Consent())).given
        await do_what_is_due(broker)
        ended = await end_of(stage, broker, details)
        receipt = await broker.grants.get_receipt(details.grant.id, dev)
    assert ended.grant.state is GrantState.ENDED
    assert ended.grant.end_reason is GrantEvent.FAILED
    assert f"role {role} does not exist" in (ended.grant.end_comment or "")
    assert receipt.facts["lines"][0]["claim"] == "the login was never made"


@pytest.mark.sample
async def test_two_brokers_that_remove_the_same_login_do_not_disturb_each_other(
    stage: Stage,
) -> None:
    async with stage.broker() as first, stage.broker() as second:
        details = await get_grant(first)
        dev = await get_person(first, DEV)
        await first.grants.relinquish(details.grant.id, dev)
        await asyncio.gather(
            *(broker.work.work_on(details.grant.id) for broker in (first, second) * 3)
        )
        ended = await end_of(stage, first, details)
    assert ended.grant.state is GrantState.ENDED
    assert await stage.query_ledger("SELECT count(*) FROM curfew.receipts") == 1


@pytest.mark.sample
async def test_a_grant_that_ends_before_its_login_was_made_leaves_no_login(stage: Stage) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        grant = await broker.approvals.approve(asked.request.id, reviewer, Consent())
        assert grant is not None
        await broker.grants.relinquish(grant.id, dev)
        await do_what_is_due(later(broker, timedelta(seconds=5)))
        found = await broker.grants.get(grant.id, dev)
    assert found.grant.state is GrantState.ENDED
    assert await stage.logins_left() == []


async def test_the_sweep_removes_our_leftovers_and_nothing_else(stage: Stage) -> None:
    """A login whose grant has ended, as after restoring the ledger from a backup."""
    async with stage.broker() as broker:
        kept, lost = await get_grant(broker), await get_grant(broker)
        # It carries the same mark, but the mark says whose it is.
        foreign = f"jit_foreign_{stage.ledger_database}"
        comment = f'{{"pgcurfew": "not {stage.installation}", "grant": "grt_1"}}'
        await stage.query(f"CREATE ROLE {foreign} LOGIN")
        await stage.query(f"COMMENT ON ROLE {foreign} IS '{comment}'")
        await stage.query_ledger(
            "UPDATE curfew.grants SET state = 'ended', end_reason = 'expired', ended_at = now() "
            "WHERE id = $1",
            lost.grant.id,
        )
        await broker.reconciliation.reconcile(broker.context.targets["orders"])
        assert await stage.logins_left() == sorted([str(kept.login), foreign])
        swept = await stage.query_ledger(
            "SELECT data ->> 'login' FROM curfew.audit_events WHERE kind = 'login.leftover_removed'"
        )
    assert swept == lost.login


@pytest.mark.sample
async def test_a_login_that_the_target_no_longer_accepts_ends_its_grant(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await stage.query_ledger("UPDATE curfew.logins SET rejected_at = now()")
        await do_what_is_due(broker)
        ended = await end_of(stage, broker, details)
    assert ended.grant.end_reason is GrantEvent.REJECTED
    assert ended.grant.end_comment == "the target no longer accepts the login's keys"
