"""Sealed tickets in the ledger and on the target: made, refused, reported, followed up, removed."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import asyncpg
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.config.settings import load_settings
from broker.domain.credential import client_keys, target_keys
from broker.domain.errors import (
    DurationTooLong,
    HeldByTicket,
    IllegalTransition,
    KindNotOffered,
    NotFound,
    NotReady,
    ReviewOverdue,
    TicketTooLong,
    UnknownPerson,
    UnknownRole,
    UnknownTarget,
)
from broker.domain.grant import GrantState
from broker.domain.ticket import Ticket, read_unverified
from broker.domain.ticket_record import (
    TicketRecord,
    TicketRefused,
    TicketSessionClosed,
    TicketSessionOpened,
    TicketUse,
)
from broker.domain.undo import SweepRules
from broker.endpoints import read_ticket_key
from broker.ledger import grants, logins, tickets
from broker.ledger.bans import ThrottleRules
from broker.ledger.connection import open_pool, reading, transaction
from broker.ledger.sessions import NewSession
from broker.reaper import do_what_is_due
from broker.service.broker import Broker
from broker.service.extensions import More
from broker.service.sealing import NewTicket, Order
from broker.service.sweep import Sweep
from proxy.assembly import read_rules
from proxy.gate import Gate
from proxy.throttle import Bans
from proxy.ticket_office import TicketOffice
from proxy.ticket_records import TicketRecords
from proxy.ticket_reports import TicketReports
from proxy.tickets import door_for
from tests.integration.test_sessions import proxy_of
from tests.support.people import HOUR, get_grant, get_person
from tests.support.stage import DEV, OTHER_DEV, PASSWORD, PROXY_KEY, REVIEWER, Stage
from tests.support.tickets import OPERATOR, at, make_ticket_key, order

pytestmark = pytest.mark.newest  # about the ledger; tests/e2e has the way in

DAY = timedelta(days=1)
ADDRESS = ip_address("192.0.2.7")
SIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign
_LOGIN = """
    SELECT rolcanlogin, rolvaliduntil, rolpassword FROM pg_authid WHERE rolname = $1
"""
_KINDS = "SELECT array_agg(kind ORDER BY seq) FROM curfew.audit_events WHERE grant_id = $1"
_SESSIONS = """
    SELECT array_agg(concat_ws(' ', id, end_reason) ORDER BY id) FROM curfew.sessions
"""
_ALARMS = "SELECT array_agg(message) FROM curfew.alarms WHERE cleared_at IS NULL"


async def seal(broker: Broker, wanted: Order | None = None) -> NewTicket:
    return await broker.sealing.seal(wanted or order("192.0.2.0/24"), SIGN, actor=OPERATOR)


async def valid_until(stage: Stage, new: NewTicket) -> datetime:
    found: datetime = await stage.query(
        "SELECT rolvaliduntil FROM pg_roles WHERE rolname = $1", new.ticket.login
    )
    return found


async def end_of(stage: Stage, broker: Broker, new: NewTicket) -> str | None:
    """Let the reaper do a round; return why the grant ended, if it has."""
    await do_what_is_due(broker)
    reason: str | None = await stage.query_ledger(
        "SELECT end_reason FROM curfew.grants WHERE id = $1 AND state = 'ended'",
        new.ticket.grant_id,
    )
    return reason


def use_of(ticket: Ticket, *, ago: timedelta = timedelta(), worker: str = "wrk_1") -> TicketUse:
    used_at = datetime.now(UTC) - ago
    return TicketUse(
        ticket_id=ticket.id,
        grant_id=ticket.grant_id,
        person=ticket.person,
        address=ADDRESS,
        used_at=used_at,
        until=used_at + ticket.access,
        worker_id=worker,
    )


def session_of(ticket: Ticket, session_id: str) -> tuple[TicketRecord, TicketRecord]:
    now = datetime.now(UTC)
    return (
        TicketSessionOpened(
            ticket_id=ticket.id,
            grant_id=ticket.grant_id,
            person=ticket.person,
            session_id=session_id,
            address=ADDRESS,
            application="psql",
            certificate=None,
            at=now,
        ),
        TicketSessionClosed(
            session_id=session_id,
            reason="closed by the client",
            bytes_from_client=1,
            bytes_to_client=2,
            at=now,
        ),
    )


def refusal_of(ticket: Ticket) -> TicketRefused:
    return TicketRefused(
        ticket_id=ticket.id,
        grant_id=ticket.grant_id,
        person=ticket.person,
        address=ADDRESS,
        reason="not from there",
        at=datetime.now(UTC),
    )


@pytest.fixture
def records(tmp_path: Path) -> Iterator[TicketRecords]:
    with closing(TicketRecords(tmp_path / "tickets", "wrk_1")) as ready:
        yield ready


async def report(stage: Stage, records: TicketRecords, worker: str = "wrk_1") -> None:
    """Report as a worker does that has just been started."""
    async with proxy_of(stage) as pool:
        await TicketReports(pool, records, asyncio.Event(), worker).report()


async def test_a_sealed_ticket_has_its_login_at_once(stage: Stage) -> None:
    """Keys come from its secret and the proxy key; the ledger has no part of that."""
    async with stage.broker() as broker:
        new = await seal(broker)
        ticket = new.ticket
        found = await stage.server.connect(stage.target_database)
        row = await found.fetchrow(_LOGIN, ticket.login)
        await found.close()
        assert row is not None
        assert (row["rolcanlogin"], row["rolvaliduntil"]) == (True, ticket.expires)
        keys = client_keys(new.password, ticket.verifier.salt, ticket.verifier.iterations)
        assert keys.stored_key == ticket.verifier.stored_key
        derived = target_keys(PROXY_KEY, ticket.grant_id, keys.client_key)
        assert b64encode(derived.stored_key).decode() in row["rolpassword"]
        assert read_unverified(new.user) == ticket
        async with reading(broker.context.ledger) as db:
            login = await logins.fetch(db, ticket.grant_id)
            grant = await grants.fetch(db, ticket.grant_id)
        assert login is not None
        assert grant is not None
        assert (login.stored_key, grant.sealed, grant.expires_at) == (None, True, ticket.expires)
        (listed,) = await broker.tickets.list()
        assert (listed.id, listed.person, listed.state, listed.used_at) == (
            ticket.id,
            DEV,
            GrantState.ACTIVE,
            None,
        )
    kinds = await stage.query_ledger(_KINDS, ticket.grant_id)
    assert kinds == ["ticket.sealed", "grant.provisioned"]


async def test_nobody_gets_at_a_sealed_grant_without_its_ticket(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        new = await seal(broker)
        dev = await get_person(broker, DEV)
        with pytest.raises(HeldByTicket):
            await broker.grants.hand_out(new.ticket.grant_id, dev, source=None)
        async with reading(proxy) as db:
            for name in (new.ticket.login, "dev.orders.orders_reader"):
                assert await logins.fetch_for_proxy(db, name, "", 4) == []
            (known,) = await logins.fetch_grants_for_proxy(db, [new.ticket.grant_id])
        assert (known.sealed, known.state) == (True, GrantState.ACTIVE)


async def test_a_saved_connection_still_leads_to_the_persons_own_grant(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        own = await get_grant(broker)
        dev = await get_person(broker, DEV)
        await broker.grants.hand_out(own.grant.id, dev, source=None)
        await seal(broker)
        async with reading(proxy) as db:
            found = await logins.fetch_for_proxy(db, "dev.orders.orders_reader", "", 4)
        assert [each.grant.id for each in found] == [own.grant.id]


async def test_an_order_that_makes_no_sense_makes_nothing(stage: Stage) -> None:
    fine = order("192.0.2.0/24")
    settings = stage.role_settings(kinds=["membership"])
    stage.write_settings(targets=settings)
    async with stage.broker() as broker:
        for wrong, error in (
            (replace(fine, person="nobody@example.com"), UnknownPerson),
            (replace(fine, target="x"), UnknownTarget),
            (replace(fine, role="x"), UnknownRole),
            (replace(fine, role="orders_owner"), KindNotOffered),
            (replace(fine, validity=400 * DAY), DurationTooLong),
            (replace(fine, access=2 * DAY), DurationTooLong),
            (replace(fine, validity=HOUR, access=2 * HOUR), DurationTooLong),
            (order(*(f"192.0.2.{n}" for n in range(100))), TicketTooLong),
        ):
            with pytest.raises(error):
                await seal(broker, wrong)
        assert await broker.tickets.list() == []
    assert await stage.logins_left() == []


async def test_approvers_of_the_role_see_a_ticket_and_may_revoke_it(stage: Stage) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        reviewer, other = await get_person(broker, REVIEWER), await get_person(broker, OTHER_DEV)
        with pytest.raises(NotFound):
            await broker.grants.get(new.ticket.grant_id, other)
        assert (await broker.grants.get(new.ticket.grant_id, reviewer)).login == new.ticket.login
        with pytest.raises(HeldByTicket):
            await broker.extend(
                new.ticket.grant_id, reviewer, More(duration=HOUR, reason="", source=None)
            )
        ended = await broker.revoke(new.ticket.grant_id, reviewer, reason="not needed")
        assert ended.grant.state is GrantState.ENDED


async def test_a_role_that_no_policy_covers_can_be_sealed_and_nobody_decides_it(
    stage: Stage, records: TicketRecords
) -> None:
    (stage.folder / "policies.yaml").write_text(
        "approvers: {groups: [dba]}\n"
        "policies: [{name: nothing, requesters: {people: [x@example.com]}, max_duration: 1h,"
        " resources: [{target: orders}]}]\n"
    )
    async with stage.broker() as broker:
        new = await seal(broker)
        reviewer = await get_person(broker, REVIEWER)
        with pytest.raises(NotFound):
            await broker.grants.get(new.ticket.grant_id, reviewer)
        records.begin_use(use_of(new.ticket))
        await report(stage, records)
        await broker.ticket_uses.follow()
    (alarm,) = await stage.query_ledger(_ALARMS)
    assert "which no policy covers, and acknowledge this" in alarm


async def test_nothing_is_undone_by_a_picture_as_old_as_the_ticket(stage: Stage) -> None:
    policies = stage.folder / "policies.yaml"
    rules = yaml.safe_load(policies.read_text())
    rules["policies"][0]["sweep"] = {"undo": ["role"]}
    policies.write_text(yaml.safe_dump(rules))
    async with stage.broker() as broker:
        new = await seal(broker)
        grant = (await broker.grants.details(new.ticket.grant_id)).grant
        async with reading(broker.context.ledger) as db:
            sweep = Sweep(broker.context)
            assert await sweep.rules_of(db, replace(grant, sealed=False)) != SweepRules()
            assert await sweep.rules_of(db, grant) == SweepRules()


async def test_a_target_that_is_down_gets_no_ticket(stage: Stage) -> None:
    orders = stage.settings()["targets"]["orders"]
    stage.write_settings(targets={"orders": {**orders, "port": 1}})
    async with stage.broker() as broker:
        with pytest.raises(NotReady, match="the login cannot be made on target 'orders'"):
            await seal(broker)
        (listed,) = await broker.tickets.list()
        assert listed.state is GrantState.REVOKING


async def test_a_revoked_ticket_has_no_login_any_more(stage: Stage) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        revoked = await broker.tickets.revoke(new.ticket.id, actor=OPERATOR, reason="lost")
        assert revoked.state is GrantState.ENDED
        assert await stage.logins_left() == []
        with pytest.raises(IllegalTransition):
            await broker.tickets.revoke(new.ticket.id, actor=OPERATOR, reason="again")
        with pytest.raises(NotFound):
            await broker.tickets.revoke("tkt_nothing", actor=OPERATOR, reason="")
    comment = await stage.query_ledger("SELECT end_comment || ended_by FROM curfew.grants")
    assert comment == f"lost{OPERATOR}"


async def test_a_ticket_that_nobody_used_ends_by_itself(stage: Stage) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        assert await end_of(stage, broker, new) is None
        after = at(broker, new.ticket.expires + timedelta(seconds=1))
        assert await end_of(stage, after, new) == "expired"
    assert await stage.logins_left() == []


async def test_a_ticket_in_a_safe_keeps_nobodys_leftovers_from_being_undone(stage: Stage) -> None:
    async with stage.broker() as broker:
        own = (await get_grant(broker)).grant
        new = await seal(broker)
        async with transaction(broker.context.ledger) as db:
            assert not await grants.overlaps(db, own)
            opened, _ = session_of(new.ticket, "ses_1")
            await tickets.report_journal(db, "wrk_1", [opened])
            assert await grants.overlaps(db, own)


async def test_what_a_proxy_reports_ends_the_grant_and_calls_for_a_review(
    stage: Stage, records: TicketRecords
) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        use = use_of(new.ticket)
        records.begin_use(use)
        await report(stage, records)
        assert await end_of(stage, broker, new) is None
        assert await valid_until(stage, new) == use.until  # PostgreSQL's own curfew moved too
        (alarm,) = await stage.query_ledger(_ALARMS)
        assert f"ticket {new.ticket.id} was used by {DEV} from {ADDRESS}" in alarm
        assert f"pgcurfew review {new.ticket.grant_id}" in alarm
        after = at(broker, use.until + timedelta(seconds=1))
        assert await end_of(stage, after, new) == "expired"
        (listed,) = await broker.tickets.list()
        assert (listed.used_at, listed.until, listed.used_from) == (
            use.used_at,
            use.until,
            str(ADDRESS),
        )
    assert await stage.logins_left() == []
    kinds = await stage.query_ledger(_KINDS, new.ticket.grant_id)
    assert kinds[:2] == ["ticket.sealed", "grant.provisioned"]
    assert kinds[2:] == [
        "ticket.used",
        "grant.shortened",
        "request.broken_glass",
        "alarm.raised",
        "grant.ending",
        "grant.ended",
    ]


async def test_the_alarm_is_open_until_the_review_is_written(
    stage: Stage, records: TicketRecords
) -> None:
    """And once that is overdue, no other ticket is sealed for the person."""
    async with stage.broker() as broker:
        new = await seal(broker)
        records.begin_use(use_of(new.ticket))
        await report(stage, records)
        await broker.ticket_uses.follow()
        overdue = at(broker, datetime.now(UTC) + broker.context.review_within + DAY)
        with pytest.raises(ReviewOverdue):
            await seal(overdue)
        reviewer = await get_person(broker, REVIEWER)
        await broker.reviews.write(new.ticket.grant_id, reviewer, "it was the disk")
        await seal(overdue)
        assert await stage.query_ledger(_ALARMS) is None
        with closing(TicketRecords(stage.folder / "elsewhere", "wrk_9")) as other:
            other.begin_use(use_of(new.ticket, worker="wrk_9"))
            await report(stage, other, "wrk_9")
        await broker.ticket_uses.follow()
        (alarm,) = await stage.query_ledger(_ALARMS)
    assert "whose review was written before that, and acknowledge this" in alarm


async def test_access_that_was_over_before_the_ledger_was_back_ends_at_once(
    stage: Stage, records: TicketRecords
) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        records.begin_use(use_of(new.ticket, ago=2 * HOUR))
        for record in session_of(new.ticket, "ses_1"):
            records.append(record)
        await report(stage, records)
        assert await end_of(stage, broker, new) == "expired"
        receipt = await broker.receipts.get(
            (await broker.grants.details(new.ticket.grant_id)).grant
        )
        assert receipt.facts["proved"] is True
        assert receipt.facts["proxy_sessions"] == 1
    assert await stage.logins_left() == []


async def test_what_is_reported_again_is_there_once(stage: Stage, records: TicketRecords) -> None:
    """As after a death between the report and its mark, or after one of the marks."""
    async with stage.broker() as broker:
        new = await seal(broker)
    opened, closed = session_of(new.ticket, "ses_1")
    records.begin_use(use_of(new.ticket))
    for record in (refusal_of(new.ticket), opened):
        records.append(record)
    await report(stage, records)
    folder = next(iter(stage.folder.rglob("*.use"))).parent
    (folder / f"{new.ticket.id}.told").unlink()
    records.append(closed)
    for _ in range(2):
        await report(stage, records)
    records.close()
    for _ in range(2):
        with closing(TicketRecords(folder, "wrk_2")) as next_worker:
            await report(stage, next_worker, "wrk_2")
        reported = folder / "wrk_1.reported"
        reported.rename(reported.with_suffix(".journal"))
    assert await stage.query_ledger(_SESSIONS) == ["ses_1 closed by the client"]
    kinds = await stage.query_ledger(_KINDS, new.ticket.grant_id)
    assert kinds[2:] == ["ticket.used", "session.refused", "session.opened", "session.closed"]


async def test_the_sessions_of_a_worker_that_died_are_ended(
    stage: Stage, records: TicketRecords
) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
    opened, _ = session_of(new.ticket, "ses_1")
    records.append(opened)
    records.close()
    with closing(TicketRecords(stage.folder / "tickets", "wrk_2")) as next_worker:
        await report(stage, next_worker, "wrk_2")
    assert await stage.query_ledger(_SESSIONS) == ["ses_1 worker lost"]


async def test_a_use_is_reported_with_the_sessions_of_all_workers(
    stage: Stage, records: TicketRecords
) -> None:
    """A broker may conclude from it at once that the grant is over, and write the receipt."""
    async with stage.broker() as broker:
        new = await seal(broker)
    records.begin_use(use_of(new.ticket, ago=2 * HOUR))
    with closing(TicketRecords(stage.folder / "tickets", "wrk_2")) as other:
        for record in session_of(new.ticket, "ses_1"):
            other.append(record)
        await report(stage, records)
    assert await stage.query_ledger(_SESSIONS) == ["ses_1 closed by the client"]


async def test_a_ledger_that_never_heard_of_the_ticket_keeps_no_other_report_back(
    stage: Stage, records: TicketRecords
) -> None:
    """Restored from a backup that is older than the ticket."""
    async with stage.broker() as broker:
        new = await seal(broker)
    unknown = replace(new.ticket, id="tkt_0000000000000000", grant_id="grt_unknown")
    records.begin_use(use_of(unknown))
    records.begin_use(use_of(new.ticket))
    for record in (*session_of(unknown, "ses_1"), *session_of(new.ticket, "ses_2")):
        records.append(record)
    await report(stage, records)
    assert await stage.query_ledger(_SESSIONS) == ["ses_2 closed by the client"]


async def test_a_ticket_that_two_machines_took_is_noticed(stage: Stage, tmp_path: Path) -> None:
    async with stage.broker() as broker:
        new = await seal(broker)
        for worker in ("wrk_1", "wrk_2"):
            with closing(TicketRecords(tmp_path / worker, worker)) as records:
                records.begin_use(use_of(new.ticket, worker=worker))
                await report(stage, records, worker)
        await broker.ticket_uses.follow()
        (alarm,) = await stage.query_ledger(_ALARMS)
    assert "It was used 2 times" in alarm


async def test_a_use_of_a_revoked_ticket_is_still_told(
    stage: Stage, records: TicketRecords
) -> None:
    """A proxy that was cut off from the ledger could not know."""
    async with stage.broker() as broker:
        new = await seal(broker)
        await broker.tickets.revoke(new.ticket.id, actor=OPERATOR, reason="lost")
        records.begin_use(use_of(new.ticket))
        await report(stage, records)
        await broker.ticket_uses.follow()
    assert len(await stage.query_ledger(_ALARMS)) == 1
    assert "grant.shortened" not in await stage.query_ledger(_KINDS, new.ticket.grant_id)


async def test_keys_that_the_target_refuses_end_the_grant(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as pool:
        new = await seal(broker)
        await Gate(pool, "wrk_1", Bans()).report_sealed_rejected(new.ticket.grant_id)
        assert await end_of(stage, broker, new) == "rejected"


async def test_a_proxy_can_say_that_a_ticket_was_used_and_no_more(stage: Stage) -> None:
    connection = await stage.server.connect(
        stage.ledger_database, user="curfew_proxy", password=PASSWORD
    )
    try:
        for forbidden in (
            "UPDATE curfew.tickets SET expires_at = 'infinity'",
            "UPDATE curfew.ticket_uses SET until = 'infinity'",
            "INSERT INTO curfew.ticket_uses (ticket_id, followed_at) VALUES ('tkt_1', now())",
            "DELETE FROM curfew.ticket_uses",
            "SELECT ticket_id FROM curfew.ticket_uses",
            "SELECT grant_id FROM curfew.tickets",
            "UPDATE curfew.grants SET sealed = false",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
    finally:
        await connection.close()


async def test_a_use_here_lasts_no_longer_than_one_that_the_ledger_knows(
    stage: Stage, records: TicketRecords
) -> None:
    """What is written here must not give more, once the ledger is away again."""
    make_ticket_key(stage.folder)
    stage.write_settings(
        keys={**stage.settings()["keys"], "ticket_key": "file:ticket.key"},
        proxy={"tickets": {"public_keys": ["ticket.pem"]}},
    )
    rules = read_rules(stage.config)
    sign = read_ticket_key(load_settings(stage.config), stage.config)
    async with stage.broker() as broker, proxy_of(stage) as pool:
        new = await broker.sealing.seal(order(), sign, actor=OPERATOR)
        elsewhere = use_of(new.ticket, ago=HOUR / 2, worker="wrk_9")
        with closing(TicketRecords(stage.folder / "elsewhere", "wrk_9")) as other:
            other.begin_use(elsewhere)
            await report(stage, other, "wrk_9")
        await broker.ticket_uses.follow()
        bans = Bans()
        office = TicketOffice(Gate(pool, "wrk_1", bans), bans, records, "wrk_1")
        door = door_for(office, new.user, ADDRESS, rules)
        assert door is not None
        (found,) = await door.find(new.user, "")
        login = await door.look_again(found)
        session = NewSession(
            id="ses_1",
            grant_id=login.grant.id,
            worker_id="wrk_1",
            client_address=ADDRESS,
            client_application="psql",
            client_certificate=None,
            started_at=datetime.now(UTC),
        )
        await door.open_session(session, login.grant, new.user)
    use = records.find_use(new.ticket.id)
    assert use is not None
    assert use.until == elsewhere.until


async def test_the_challenge_is_that_of_a_genuine_ticket_whatever_is_forged(
    stage: Stage, records: TicketRecords
) -> None:
    """Its salt stands in the ticket: another one would tell that the signature does not hold."""
    make_ticket_key(stage.folder)
    stage.write_settings(proxy={"tickets": {"public_keys": ["ticket.pem"]}})
    rules = read_rules(stage.config)
    async with stage.broker() as broker, proxy_of(stage) as pool:
        new = await seal(broker)  # by another key
        bans = Bans()
        office = TicketOffice(Gate(pool, "wrk_1", bans), bans, records, "wrk_1")
        door = door_for(office, new.user, ADDRESS, rules)
        assert door is not None
        (decoy,) = await door.find(new.user, "")
        known = new.ticket.verifier
        assert (decoy.verifier.salt, decoy.verifier.iterations) == (known.salt, known.iterations)
        assert decoy.verifier.stored_key != known.stored_key
        assert await door.is_banned(new.user, [decoy], ADDRESS)
        unreadable = door_for(office, "ticket.AAAA", ADDRESS, rules)
        assert unreadable is not None
        assert await unreadable.find("ticket.AAAA", "") == []
        assert door_for(office, "dev.orders.orders_reader", ADDRESS, rules) is None
        assert door_for(office, new.user, ADDRESS, replace(rules, tickets=None)) is None


async def test_whoever_knocks_all_day_with_a_used_up_ticket_fills_no_disk(
    stage: Stage, records: TicketRecords
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as pool:
        refusal = refusal_of((await seal(broker)).ticket)
        bans = Bans()
        office = TicketOffice(Gate(pool, "wrk_1", bans), bans, records, "wrk_1")
        for _ in range(120):
            await office.append_refusal(refusal)
        elsewhere = replace(refusal, address=ip_address("192.0.2.8"))
        await office.append_refusal(elsewhere)
    with records.journals() as found:
        (journal,) = found.living
    assert journal.records == (refusal,) * 100 + (elsewhere,)


async def test_wrong_secrets_count_against_their_address_with_and_without_a_ledger(
    stage: Stage, records: TicketRecords
) -> None:
    rules = ThrottleRules(2, HOUR, HOUR)
    nowhere = stage.ledger_login("curfew_proxy")
    nowhere = replace(nowhere, address=replace(nowhere.address, port=1))
    for login in (stage.ledger_login("curfew_proxy"), nowhere):
        async with open_pool(login, "a proxy", 2) as pool:
            bans = Bans()
            office = TicketOffice(Gate(pool, "wrk_1", bans), bans, records, "wrk_1")
            for _ in range(2):
                await office.count_failure(ADDRESS, rules)
        counted_here = bans.is_banned(f"address {ADDRESS}", datetime.now(UTC)) is not None
        assert counted_here == (login is nowhere)
    banned = await stage.query_ledger(
        "SELECT array_agg(key) FROM curfew.bans WHERE banned_until IS NOT NULL"
    )
    assert banned == [f"address {ADDRESS}"]
