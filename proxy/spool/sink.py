"""The same rows as the ledger's to whoever else wants them, at least once each and in order.

How far that has come is kept in a file beside the spool. Segments stay until the sink has them, so
what a sink that is down costs is the spool, as with the ledger.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from broker.domain.errors import LedgerUnavailable
from broker.domain.statement.shipment import Part, Place, Progress, unfinished_from
from broker.domain.statement.statement import Row, row_facts
from broker.ledger import sink_sessions
from broker.ledger.connection import Pool, reading
from broker.ledger.sink_sessions import SinkSession
from broker.sink.sender import Sender, SinkUnreachable
from proxy.spool.destination import Batch, Unreachable
from proxy.spool.reader import SpoolFolder

_MOST_SESSIONS = 10_000  # that are kept in mind

_log = logging.getLogger(__name__)


class Sink:
    """A destination of shipping."""

    batch = Batch(most_rows=1_000, most_bytes=1 << 20)
    look_every_s = 1.0  # a connection each time, over syslog

    def __init__(self, name: str, sender: Sender, pool: Pool, spool: SpoolFolder) -> None:
        self.name = name
        self._sender = sender
        self._pool = pool
        self._spool = spool
        self._path = spool.folder / "sink.position"
        self._stored = _read(self._path)
        self._sessions: dict[str, SinkSession] = {}

    async def progress(self, worker_id: str) -> Progress | None:
        return self._stored.get(worker_id)

    async def take(self, worker_id: str, progress: Progress, blocks: Sequence[Part]) -> None:
        rows = [row for part in blocks for row in part.rows]
        try:
            known = await self._whose({row.session_id for row in rows})
            await self._sender.send([_line(row, known.get(row.session_id)) for row in rows])
        except (LedgerUnavailable, SinkUnreachable) as error:
            raise Unreachable(str(error)) from error
        self._stored[worker_id] = progress
        self._write()

    async def _whose(self, ids: set[str]) -> dict[str, SinkSession]:
        """Sessions are written down before they begin; only those of tickets may come later, when
        the ledger is back: of those nothing is known here then."""
        missing = sorted(ids - self._sessions.keys())
        if missing:
            if len(self._sessions) > _MOST_SESSIONS:
                self._sessions.clear()
            async with reading(self._pool) as db:
                self._sessions |= await sink_sessions.fetch(db, sorted(ids))
        return self._sessions

    def _write(self) -> None:
        """Losing it to a power cut only means that lines are sent again."""
        workers = set(self._spool.workers())
        facts = {
            worker_id: {
                "segment": each.place.segment,
                "position": each.place.position,
                "unfinished": each.unfinished_facts(),
                "moves": each.moves,
            }
            for worker_id, each in self._stored.items()
            if worker_id in workers
        }
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(facts))
        draft.chmod(0o600)
        draft.replace(self._path)


def _line(row: Row, session: SinkSession | None) -> dict[str, Any]:
    return {
        **row_facts(row),
        "grant": session.grant_id if session else None,
        "person": session.person if session else None,
        "target": session.target if session else None,
        "database": session.database if session else None,
        "role": session.role if session else None,
        "client_address": session.client_address if session else None,
    }


def _read(path: Path) -> dict[str, Progress]:
    try:
        return dict(_progresses(json.loads(path.read_text()).items()))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _log.error("%s says nothing (%r): the sink gets what is in the spool again", path, error)
        return {}


def _progresses(facts: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Progress]]:
    for worker_id, each in facts:
        place = Place(each["segment"], each["position"])
        yield worker_id, Progress(place, unfinished_from(each["unfinished"]), each["moves"])
