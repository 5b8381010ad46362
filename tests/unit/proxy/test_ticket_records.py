"""What a machine knows of tickets survives whoever wrote it, and is told once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from broker.domain.ticket_record import (
    TicketRecord,
    TicketRefused,
    TicketSessionClosed,
    TicketSessionOpened,
    TicketUse,
)
from proxy.ticket_records import Journal, Journals, TicketRecords, UnreadableUse, without_ends

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICKET, OTHER_TICKET = "tkt_06gzmmd8rpkyccz1", "tkt_06gzmmd8rpkyccz2"
ADDRESS = ip_address("2001:db8::7")


def use(ticket_id: str = TICKET, worker: str = "wrk_1", *, minutes: int = 0) -> TicketUse:
    return TicketUse(
        ticket_id=ticket_id,
        grant_id="grt_1",
        person="alice@example.com",
        address=ADDRESS,
        used_at=NOON + timedelta(minutes=minutes),
        until=NOON + timedelta(minutes=120 + minutes),
        worker_id=worker,
    )


def opened(session_id: str) -> TicketSessionOpened:
    return TicketSessionOpened(
        ticket_id=TICKET,
        grant_id="grt_1",
        person="alice@example.com",
        session_id=session_id,
        address=ADDRESS,
        application="psql",
        certificate=None,
        at=NOON,
    )


def closed(session_id: str) -> TicketSessionClosed:
    return TicketSessionClosed(
        session_id=session_id,
        reason="closed by the client",
        bytes_from_client=10,
        bytes_to_client=2**40,
        at=NOON,
    )


def refused() -> TicketRefused:
    return TicketRefused(
        ticket_id=TICKET,
        grant_id="grt_1",
        person="alice@example.com",
        address=ADDRESS,
        reason="it was used\nbefore",
        at=NOON,
    )


Worker = Callable[[str], TicketRecords]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """The records of a worker, closed at the end if it has not died before."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(TicketRecords(tmp_path, name)))


def found(folder: Path) -> Journals:
    with TicketRecords(folder, "wrk_9").journals() as journals:
        return journals


NONE = Journals((), ())


def test_a_ticket_has_one_use_whoever_comes_next(tmp_path: Path) -> None:
    first, second = TicketRecords(tmp_path, "wrk_1"), TicketRecords(tmp_path, "wrk_2")
    assert first.find_use(TICKET) is None
    assert first.begin_use(use()) == use()
    assert second.begin_use(use(worker="wrk_2", minutes=1)) == use()
    assert second.find_use(TICKET) == use()
    assert second.find_use(OTHER_TICKET) is None


def test_of_many_at_once_one_begins_the_use(tmp_path: Path) -> None:
    workers = [TicketRecords(tmp_path, f"wrk_{n}") for n in range(8)]

    def begin(n: int) -> TicketUse:
        return workers[n].begin_use(use(worker=f"wrk_{n}", minutes=n))

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(begin, range(8)))
    assert len(found) == 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".use"]  # and no draft is left


def test_a_use_that_cannot_be_read_is_no_reason_to_begin_another(tmp_path: Path) -> None:
    (tmp_path / f"{TICKET}.use").write_text("{")
    records = TicketRecords(tmp_path, "wrk_1")
    steps: list[Callable[[], object]] = [
        lambda: records.find_use(TICKET),
        lambda: records.begin_use(use()),
    ]
    for step in steps:
        with pytest.raises(UnreadableUse, match="is not what a proxy wrote"):
            step()


def test_a_use_is_told_once_and_unreadable_ones_keep_no_other_back(tmp_path: Path) -> None:
    records = TicketRecords(tmp_path, "wrk_1")
    assert records.untold_uses() == []
    (tmp_path / "tkt_0000000000000000.use").write_text("{")
    for each in (use(), use(OTHER_TICKET)):
        records.begin_use(each)
    assert records.untold_uses() == [use(), use(OTHER_TICKET)]
    records.mark_told(use())
    assert records.untold_uses() == [use(OTHER_TICKET)]
    assert records.find_use(TICKET) == use()


def test_files_that_cannot_even_be_opened_keep_no_others_back(
    tmp_path: Path, worker: Worker
) -> None:
    """As a proxy leaves them that was run as another user."""
    for unreadable in ("tkt_0000000000000000.use", "wrk_0.journal"):
        (tmp_path / unreadable).mkdir()
    records, dead = worker("wrk_1"), worker("wrk_2")
    records.begin_use(use())
    dead.append(opened("ses_1"))
    dead.close()
    assert records.untold_uses() == [use()]
    assert found(tmp_path).abandoned == (Journal("wrk_2", (opened("ses_1"),)),)


def test_nobody_else_can_take_a_use_away(tmp_path: Path) -> None:
    """Whoever made the folder may have left it open to others."""
    folder = tmp_path / "tickets"
    folder.mkdir()
    folder.chmod(0o777)
    TicketRecords(folder, "wrk_1").begin_use(use())
    assert folder.stat().st_mode & 0o777 == 0o755


def test_only_we_can_read_what_we_write(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "tickets"
    with closing(TicketRecords(folder, "wrk_1")) as records:
        records.begin_use(use())
        records.mark_told(use())
        records.append(opened("ses_1"))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}


def test_a_journal_says_what_was_put_into_it(tmp_path: Path, worker: Worker) -> None:
    records = worker("wrk_1")
    assert found(tmp_path) == NONE
    said: list[TicketRecord] = [opened("ses_1"), refused(), closed("ses_1"), opened("ses_2")]
    for each in said:
        records.append(each)
    (journal,) = found(tmp_path).living
    assert journal == Journal("wrk_1", tuple(said))
    assert without_ends(journal) == ["ses_2"]


def test_half_a_line_swallows_no_other(tmp_path: Path, worker: Worker) -> None:
    """As a full disk or a lost machine leaves it."""
    records = worker("wrk_1")
    records.append(opened("ses_1"))
    with (tmp_path / "wrk_1.journal").open("ab") as journal:
        journal.write(b'\n{"session_id": "ses_')
    records.append(closed("ses_1"))
    (read,) = found(tmp_path).living
    assert read.records == (opened("ses_1"), closed("ses_1"))


def test_what_a_living_worker_writes_is_its_own_to_end(tmp_path: Path, worker: Worker) -> None:
    living = worker("wrk_1")
    living.append(opened("ses_1"))
    journal = Journal("wrk_1", (opened("ses_1"),))
    assert found(tmp_path) == Journals(living=(journal,), abandoned=())
    with living.journals() as journals:
        assert journals == Journals(living=(journal,), abandoned=())


def test_what_a_dead_worker_wrote_is_ended_by_one_other(tmp_path: Path, worker: Worker) -> None:
    dead = worker("wrk_1")
    dead.append(opened("ses_1"))
    dead.close()  # which is all that the others see of a death
    journal = Journal("wrk_1", (opened("ses_1"),))
    with TicketRecords(tmp_path, "wrk_2").journals() as journals:
        assert journals == Journals(living=(), abandoned=(journal,))
        assert found(tmp_path).abandoned == ()  # somebody is at it
    assert found(tmp_path) == NONE
    (kept,) = tmp_path.glob("*.reported")
    assert json.loads(kept.read_text())["session_id"] == "ses_1"


def test_a_report_that_fails_is_made_again(tmp_path: Path, worker: Worker) -> None:
    dead = worker("wrk_1")
    dead.append(opened("ses_1"))
    dead.close()
    with pytest.raises(ZeroDivisionError), TicketRecords(tmp_path, "wrk_2").journals():
        _ = 1 / 0
    assert found(tmp_path).abandoned == (Journal("wrk_1", (opened("ses_1"),)),)


def test_where_nothing_can_be_written_everything_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    records = TicketRecords(blocked / "tickets", "wrk_1")
    steps: list[Callable[[], object]] = [
        records.prepare,
        lambda: records.begin_use(use()),
        lambda: records.append(opened("ses_1")),
    ]
    for step in steps:
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            step()
    assert records.untold_uses() == []
    assert found(blocked / "tickets") == NONE
