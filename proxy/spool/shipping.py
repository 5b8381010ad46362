"""Records of one worker in, rows for the ledger out: which begin belongs to which end, and what
becomes of those that have none.

Pure, and the same for the same records. Whoever drives it stores `unfinished` with the rows that it
took, and makes another one of both after a death; see broker.domain.statement.shipment.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, assert_never

from broker.domain.statement.shipment import Place, Unfinished
from broker.domain.statement.statement import Ending, LateOutcome, Outcome, Row, Statement
from proxy.spool.records import Begin, Closed, End, Record

RUNS_LONG_US = 500_000
"""A statement that has run for longer than this is written down without its outcome."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Found(NamedTuple):
    """A record, and where it is."""

    record: Record
    at: Place


@dataclass(slots=True)
class _Running:
    """`begin` and its place are None once it has been written down."""

    started_at_us: int
    begin: Begin | None
    begun_at: Place | None


class Pairing:
    """What one worker's sessions run, as far as its records have been read.

    `newest_us` is when the newest statement began, `held_bytes` what texts of those cost that are
    kept here until their end is known, and `strays` counts records that fit to no other.
    """

    def __init__(self, unfinished: Iterable[tuple[Unfinished, Begin | None]] = ()) -> None:
        """Go on where another one was, given what was unfinished there, each with its record if the
        ledger does not have it."""
        self._sessions: dict[str, dict[int, _Running]] = {}
        self._held: dict[tuple[str, int], _Running] = {}
        self._rows: list[Row] = []
        self.newest_us = 0
        self.held_bytes = 0
        self.strays = 0
        for each, begin in unfinished:
            self._add(each.session_id, each.seq, each.started_at_us, begin, each.begun_at)

    @property
    def unfinished(self) -> tuple[Unfinished, ...]:
        return tuple(
            Unfinished(session_id, seq, each.started_at_us, each.begun_at)
            for session_id, running in self._sessions.items()
            for seq, each in running.items()
        )

    @property
    def first_held(self) -> Place | None:
        """Where the first record is that has to be read again after a death."""
        return min(
            (each.begun_at for each in self._held.values() if each.begun_at is not None),
            default=None,
        )

    def take(self, found: Found, now_us: int) -> None:
        """Take the next record. Of sessions that end in the middle of something nobody knows when
        it ended, but that it is over `now`."""
        match found.record:
            case Begin() as begin:
                self._begin(begin, found.at)
            case End() as end:
                self._end(end)
            case Closed(session_id):
                self._end_session(session_id, now_us)
            case _:
                assert_never(found.record)

    def write_down_running(self, started_until_us: int) -> None:
        """Make rows without an outcome of what began until then and still runs."""
        for (session_id, seq), each in list(self._held.items()):
            if each.started_at_us <= started_until_us:
                self._rows.append(_statement(self._let_go(session_id, seq, each), None))

    def write_down_all_running(self) -> None:
        self.write_down_running(max((e.started_at_us for e in self._held.values()), default=0))

    def end_everything(self, now_us: int) -> None:
        """The worker is gone, and all that it wrote was taken."""
        for session_id in list(self._sessions):
            self._end_session(session_id, now_us)

    def take_rows(self) -> list[Row]:
        """Return the rows made since the last time."""
        rows, self._rows = self._rows, []
        return rows

    def _begin(self, begin: Begin, at: Place) -> None:
        if begin.seq in self._sessions.get(begin.session_id, ()):
            self.strays += 1
            return
        self._add(begin.session_id, begin.seq, begin.started_at_us, begin, at)
        self.newest_us = max(self.newest_us, begin.started_at_us)

    def _add(
        self,
        session_id: str,
        seq: int,
        started_at_us: int,
        begin: Begin | None,
        at: Place | None,
    ) -> None:
        running = _Running(started_at_us, begin, at)
        self._sessions.setdefault(session_id, {})[seq] = running
        if begin is not None:
            self._held[session_id, seq] = running
            self.held_bytes += _size(begin)

    def _end(self, end: End) -> None:
        running = self._sessions.get(end.session_id)
        each = running.pop(end.seq, None) if running is not None else None
        if running is None or each is None:
            self.strays += 1
            return
        if not running:
            del self._sessions[end.session_id]
        outcome = Outcome(
            ending=end.ending,
            duration_us=end.duration_us,
            rows=end.rows,
            tag=_readable(end.tag),
            sqlstate=_readable(end.sqlstate),
            bytes_from_client=end.bytes_from_client,
            bytes_to_client=end.bytes_to_client,
        )
        self._finish(end.session_id, end.seq, each, outcome)

    def _end_session(self, session_id: str, now_us: int) -> None:
        for seq, each in self._sessions.pop(session_id, {}).items():
            outcome = Outcome(
                ending=Ending.UNKNOWN,
                duration_us=max(0, now_us - each.started_at_us),
                rows=None,
                tag=None,
                sqlstate=None,
                bytes_from_client=0,
                bytes_to_client=0,
            )
            self._finish(session_id, seq, each, outcome)

    def _finish(self, session_id: str, seq: int, each: _Running, outcome: Outcome) -> None:
        if each.begin is not None:
            self._rows.append(_statement(self._let_go(session_id, seq, each), outcome))
            return
        day = _moment(each.started_at_us).date()
        self._rows.append(LateOutcome(session_id=session_id, seq=seq, day=day, outcome=outcome))

    def _let_go(self, session_id: str, seq: int, each: _Running) -> Begin:
        begin = each.begin
        assert begin is not None
        del self._held[session_id, seq]
        self.held_bytes -= _size(begin)
        each.begin = each.begun_at = None
        return begin


def _statement(begin: Begin, outcome: Outcome | None) -> Statement:
    parameters = begin.parameters
    return Statement(
        session_id=begin.session_id,
        seq=begin.seq,
        started_at=_moment(begin.started_at_us),
        protocol=begin.protocol,
        text=_readable(begin.text) or "",
        text_bytes=begin.text_bytes,
        text_sha256=begin.text_sha256.hex() if begin.text_sha256 is not None else None,
        masked=begin.masked,
        parameter_types=begin.parameter_types,
        parameters=None if parameters is None else tuple(_readable(each) for each in parameters),
        outcome=outcome,
    )


def _readable(data: bytes | None) -> str | None:
    """PostgreSQL keeps no text that is not UTF-8, and no NUL in any."""
    if data is None:
        return None
    return data.decode("utf-8", "backslashreplace").replace("\0", r"\x00")


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _size(begin: Begin) -> int:
    if begin.parameters is None:
        return len(begin.text)
    return len(begin.text) + sum(len(each or b"") for each in begin.parameters)
