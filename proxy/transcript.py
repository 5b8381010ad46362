"""What a session says to its target and is answered, statement by statement, for the record.

A statement is written down before it is passed on, and its outcome when the target has told it.
Which text an Execute stands for follows from what the target has *acknowledged*, not from what was
sent: a Parse or Close behind an error is skipped by the server, and must not change what a name
means here, or one could let the record say something else than what was run. Where that hangs on
answers that are still to come, the client waits for them.

Which Syncs are answered is as important. Within a COPY from the client they are ignored, so those
that come with data are only counted: they may be answered if the COPY failed before. A client that
goes on as if it knew has its session ended.

Pure: where records go and what time it is are arguments.
https://www.postgresql.org/docs/current/protocol-flow.html
"""

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Protocol as Interface
from typing import TypeAlias

from broker.domain.statement.conditions import Recorded
from broker.domain.statement.statement import Ending, Protocol
from broker.sql.kinds import Parsed
from broker.sql.masking import mask, may_hold_secret
from proxy.prepared import (
    Bound,
    Names,
    Naming,
    Prepared,
    Refused,
    Renames,
    abbreviated,
    renamed_by,
    values_of,
)
from proxy.prepared import types_of as types_in
from proxy.spool.records import (
    ENDING_NUMBERS,
    PROTOCOL_NUMBERS,
    Begin,
    Closed,
    encode_end,
    encode_plain_begin,
    encode_record,
    rows_of,
)
from proxy.wire.boundary import Boundary
from proxy.wire.errors import UnexpectedMessage
from proxy.wire.requests import COPY_DATA, Request, Requests

__all__ = ("Refused", "Run", "Spool", "Transcript", "changed_by")

_PARSED, _BOUND, _CLOSED = b"123"
_COMPLETE, _SUSPENDED, _COPY_IN, _ERROR, _READY = b"CsGEZ"
_OF_RUNS = b"CIsG"
_WITHIN_COPY = b"GZ"
_SYNC = ord("S")
_COPY_ENDS = b"cf"

_IN_FULL = 1_024  # bytes: a longer text is written out once a day, and referred to when repeated
_DAY_US = 86_400_000_000
_MOST_UNANSWERED = 20_000
_FEW_UNANSWERED = 10_000
_LONGEST_TAG = 64
_AROUND_TEXT = 1_024  # what else is kept of a message: names, types, a few values
_read_length = Struct("!xI").unpack_from

_SIMPLE = PROTOCOL_NUMBERS[Protocol.SIMPLE]
_DONE, _FAILED = ENDING_NUMBERS[Ending.DONE], ENDING_NUMBERS[Ending.FAILED]
_REFUSED, _SKIPPED = ENDING_NUMBERS[Ending.REFUSED], ENDING_NUMBERS[Ending.SKIPPED]
_SUSPENDS, _UNKNOWN = ENDING_NUMBERS[Ending.SUSPENDED], ENDING_NUMBERS[Ending.UNKNOWN]
_NOT_ASKED = Prepared(b"")  # of a Query: no later message can speak of its text


class Spool(Interface):
    """Where records are written."""

    def append(self, data: bytes) -> bool:
        """Write records, or return False if there is no room for them now."""

    def append_late(self, data: bytes) -> None:
        """Write records of what has happened already, now or as soon as there is room."""


class Run:
    """Something that the target is to run, until it has answered for it."""

    __slots__ = ("client_bytes", "is_query", "prepared", "refused", "seq", "started_us")

    def __init__(
        self, seq: int, prepared: Prepared, started_us: int, client_bytes: int, *, is_query: bool
    ) -> None:
        """`is_query` are those that end with ReadyForQuery by themselves."""
        self.seq = seq
        self.prepared = prepared
        self.started_us = started_us
        self.client_bytes = client_bytes
        self.is_query = is_query
        self.refused: Refused | None = None


Unanswered: TypeAlias = Run | Naming | None
"""None is a Sync."""


class Transcript:
    """The record of one session. Statements are numbered from 1."""

    def __init__(
        self,
        session_id: str,
        spool: Spool,
        now_us: Callable[[], int],
        *,
        longest_text: int,
        recorded: Recorded,
    ) -> None:
        """`now_us` is microseconds since 1970. Texts are kept up to `longest_text` bytes."""
        self._session_id = session_id
        self._session = session_id.encode()
        self._append = spool.append
        self._append_late = spool.append_late
        self._now_us = now_us
        self._longest = longest_text
        self._recorded = recorded
        self._requests = Requests(longest_text + _AROUND_TEXT)
        self._next_in = self._requests.next_in
        self.boundary = Boundary()
        self._unanswered: deque[Unanswered] = deque()
        self.names = Names()
        self._seq = 0
        # What is not passed on yet, and how much of it is in what was left: it waits for room for
        # its record, or if there is none, for answers.
        self._due: tuple[Request, int] | None = None
        self._unwritten: tuple[bytes, Run] | None = None
        self._batch = 0  # how many Syncs the client has said
        self.ends = 0  # how many messages that are answered with ReadyForQuery
        self._skipping = False  # the target ignores everything up to the next Sync
        self._client_bytes = 0
        self._counted_from_client = 0
        self._counted_to_client = 0
        # Of what is being run: only one thing is, at a time.
        self._tag: bytes | None = None
        self._rows: int | None = None
        self._sqlstate: bytes | None = None
        self._copies = 0  # how often it has asked for data of COPY
        self._rows_before = 0
        self._rows_sent = 0
        # How often the client has said the end of such data, by the number of the statement.
        self._copies_ended: dict[int, int] = {}
        self._maybe_answered = 0  # Syncs said within a COPY, before all that is unanswered
        self.status = ord("I")  # of the transaction, as the target said last
        self.counts_changes = False
        self.changed = 0  # rows, in the transaction that is open, if they are counted
        self._replacement: bytes | None = None
        self.refusals = 0  # that the target has not answered for

    @property
    def is_behind(self) -> bool:
        """Whether so much is unanswered that no more should be taken from the client for now."""
        return len(self._unanswered) > _MOST_UNANSWERED

    @property
    def has_caught_up(self) -> bool:
        """Whether it is worth another try, after an answer, if more is not taken for now."""
        if self._due is not None:
            return self._unwritten is None
        return len(self._unanswered) < _FEW_UNANSWERED

    @property
    def awaits_answers(self) -> bool:
        """Whether what was left by `client_says` hangs on answers of the target."""
        return self._due is not None and self._unwritten is None

    @property
    def is_answered(self) -> bool:
        """Whether the target has answered for everything."""
        return not self._unanswered

    @property
    def runs_unanswered(self) -> bool:
        """Whether something is still to be run, or to be answered for."""
        return any(isinstance(each, Run) for each in self._unanswered)

    @property
    def is_skipping(self) -> bool:
        """Whether what the client says now is ignored by the target."""
        return self._skipping

    @property
    def ends_answered(self) -> int:
        """Of `ends`, those that need no answer any more."""
        waiting = (
            each is None or (isinstance(each, Run) and each.is_query) for each in self._unanswered
        )
        return self.ends - sum(waiting)

    @property
    def rows_sent(self) -> int:
        """How many rows of data the target has sent."""
        return self.boundary.rows

    # What the client says.

    def client_says(self, data: bytes) -> int:
        """Write down what `data`, the next of the stream, wants to be run. Returns how much of it
        may be passed on: less than all of it if the record has no room now. What is left is then
        to be said again, with what comes after it.

        Raises WireError.
        """
        if data[:1] == b"Q" and not self._unanswered and self._is_one_query(data):
            return self._say_simply(data)
        position = 0
        if self._due is not None:
            due, position = self._due
            if not self._say_due(due):
                return 0
            self._due = None
        end = len(data)
        next_in = self._next_in
        while position < end:
            start = position
            position, request = next_in(data, position)
            if request is None:
                continue
            self._client_bytes += request.size
            if not self._take(request):
                self._due = (request, position - start)
                return start
        return end

    def _say_due(self, request: Request) -> bool:
        if self._unwritten is None:
            return self._take(request)
        (record, run), self._unwritten = self._unwritten, None
        return self._write(record, run)

    def _is_one_query(self, data: bytes) -> bool:
        """Whether this is the usual: one whole Query, after everything was answered, of which
        nothing needs a closer look."""
        size = len(data)
        return (
            6 <= size <= _IN_FULL
            and _read_length(data)[0] + 1 == size == data.find(b"\0", 5) + 1
            and self._due is None
            and self._requests.between_messages
            and not self._requests.copied
            and not self._skipping
            and not self.names.are_given
            and not may_hold_secret(data)
        )

    def _say_simply(self, data: bytes) -> int:
        """Do for such a Query what `client_says` does."""
        now_us = self._now_us()
        seq = self._seq + 1
        record = encode_plain_begin(self._session, seq, now_us, _SIMPLE, data[5:-1])
        if not self._append(record):
            return 0
        self._seq = seq
        size = len(data)
        before = self._client_bytes - self._counted_from_client
        self._client_bytes += size
        self._counted_from_client = self._client_bytes
        self.ends += 1
        self._unanswered.append(Run(seq, _NOT_ASKED, now_us, before + size, is_query=True))
        return size

    def refuse_newest(self, refused: Refused) -> None:
        """What was said last is not passed on as it is, but as something that the target refuses,
        too: its error is then to be replaced."""
        newest = self._unanswered[-1] if self._unanswered else None
        if newest is not None:
            newest.refused = refused
            self.refusals += 1

    def statement_is_unsure(self, name: bytes) -> bool:
        """Whether it hangs on answers to earlier messages which statement has this name."""
        return self.names.statement_is_unsure(name, self._batch)

    def portal_is_unsure(self, name: bytes) -> bool:
        return self.names.portal_is_unsure(name, self._batch)

    def newest_is(self, parsed: tuple[Parsed, ...]) -> None:
        """Keep what the statement is that a Parse has just brought."""
        newest = self._unanswered[-1] if self._unanswered else None
        if isinstance(newest, Naming) and isinstance(newest.meaning, Prepared):
            newest.meaning.parsed = parsed

    def take_replacement(self) -> bytes | None:
        """Return what the client gets in place of the error that was heard last, if it is to."""
        replacement, self._replacement = self._replacement, None
        return replacement

    def _take(self, request: Request) -> bool:
        """Take note of a message, and write down what it wants to be run. Returns whether it may be
        passed on."""
        kind = request.kind
        if request is COPY_DATA or kind in _COPY_ENDS:
            return self._copy(kind)
        if kind == _SYNC:
            self._skipping = False
            self._batch += 1
            self.ends += 1
            self._unanswered.append(None)
            return True
        if (self._copies or self._maybe_answered) and not self._may_follow_copy(kind):
            return False
        match kind:
            case 69:  # Execute
                return self._execute(request.body)
            case 66:  # Bind
                return self._bind(request)
            case 81:  # Query
                prepared = self._prepared(request, request.body, None)
                return self._begin(prepared, Protocol.SIMPLE, None, is_query=True)
            case 80:  # Parse
                self._parse(request)
            case 67:  # Close
                name, is_portal = request.body[1:].partition(b"\0")[0], request.body[:1] == b"P"
                self._name(Naming(_CLOSED, name, None, self._batch, is_portal=is_portal))
            case _:  # FunctionCall
                text = b"function call of OID %d" % int.from_bytes(request.body[:4])
                return self._begin(Prepared(text), Protocol.FUNCTION_CALL, None, is_query=True)
        return True

    def _parse(self, request: Request) -> None:
        name, _, rest = request.body.partition(b"\0")
        types = None if self._recorded is Recorded.OFF else types_in(rest.partition(b"\0")[2])
        prepared = self._prepared(request, rest, types)
        self._name(Naming(_PARSED, name, prepared, self._batch, is_portal=False))

    def _bind(self, request: Request) -> bool:
        portal, _, rest = request.body.partition(b"\0")
        name, _, rest = rest.partition(b"\0")
        if self.statement_is_unsure(name):
            return False
        wanted = self._recorded is Recorded.VALUES
        values = values_of(rest, mask) if wanted else None
        bound = Bound(self.names.statement(name), values)
        self._name(Naming(_BOUND, portal, bound, self._batch, is_portal=True))
        return True

    def _name(self, naming: Naming) -> None:
        if not self._skipping:
            self.names.sent(naming, self._unanswered)
            self._unanswered.append(naming)

    def _execute(self, body: bytes) -> bool:
        name = body.partition(b"\0")[0]
        if self.portal_is_unsure(name):
            return False
        bound = self.names.portal(name)
        return self._begin(bound.prepared, Protocol.EXTENDED, bound.parameters, is_query=False)

    def _copy(self, kind: int) -> bool:
        """Take note of data of a COPY, or of its end. The target ignores it if there is none."""
        newest = self._newest_run()
        if newest is None:
            return True
        if self._is_copying:
            while len(self._unanswered) > 1 and self._unanswered[1] is None:
                del self._unanswered[1]
                self._maybe_answered += 1
                self.ends -= 1
        elif self._unanswered[-1] is None:
            return False  # for that Sync it matters whether the target asks for data
        if kind in _COPY_ENDS:
            self._copies_ended[newest.seq] = self._copies_ended.get(newest.seq, 0) + 1
        return True

    @property
    def _is_copying(self) -> bool:
        """Whether the target waits for data, or for its end."""
        head = self._unanswered[0] if self._copies else None
        return isinstance(head, Run) and self._copies > self._copies_ended.get(head.seq, 0)

    def _may_follow_copy(self, kind: int) -> bool:
        """Say whether a message may be passed on now that the target would not take as a part of
        the COPY that it is in, or was in when it failed.

        Raises UnexpectedMessage.
        """
        if self._is_copying:
            raise UnexpectedMessage(bytes([kind]), "data of COPY, or its end,")
        head = self._unanswered[0] if self._copies else None
        if not self._maybe_answered or (isinstance(head, Run) and head.is_query):
            return True  # nothing is skipped
        if self._copies and None in self._unanswered:
            return False
        if self._copies or self._skipping:
            raise UnexpectedMessage(bytes([kind]), "Sync")
        return True

    def _newest_run(self) -> Run | None:
        for each in reversed(self._unanswered):
            if isinstance(each, Run):
                return each
        return None

    def _begin(
        self,
        prepared: Prepared,
        protocol: Protocol,
        parameters: tuple[bytes | None, ...] | None,
        *,
        is_query: bool,
    ) -> bool:
        now_us = self._now_us()
        if self._requests.copied:
            self._count_copied(self._newest_run())
        self._seq = seq = self._seq + 1
        client_bytes = self._client_bytes - self._counted_from_client
        self._counted_from_client = self._client_bytes
        record = self._record(prepared, protocol, parameters, seq, now_us)
        if prepared.renames and not self._skipping:
            self.names.heed(prepared.renames, self._unanswered)
        return self._write(record, Run(seq, prepared, now_us, client_bytes, is_query=is_query))

    def _write(self, record: bytes, run: Run) -> bool:
        if not self._append(record):
            self._unwritten = (record, run)
            return False
        if self._skipping:
            self._append_late(
                encode_end(
                    self._session, run.seq, 0, _SKIPPED, None, None, None, run.client_bytes, 0
                )
            )
        else:
            self.ends += run.is_query
            self._unanswered.append(run)
        return True

    def _count_copied(self, run: Run | None) -> None:
        """The data that came since is this statement's, if it is still unanswered."""
        copied, self._requests.copied = self._requests.copied, 0
        if run is not None:
            run.client_bytes += copied

    def _record(
        self,
        prepared: Prepared,
        protocol: Protocol,
        parameters: tuple[bytes | None, ...] | None,
        seq: int,
        now_us: int,
    ) -> bytes:
        if prepared.is_plain and parameters is None:
            number = PROTOCOL_NUMBERS[protocol]
            return encode_plain_begin(self._session, seq, now_us, number, prepared.text)
        text = prepared.text
        if len(text) > _IN_FULL:
            day = now_us // _DAY_US
            if prepared.in_full and prepared.day == day:
                text = abbreviated(prepared)
            else:
                prepared.in_full, prepared.day = seq, day
        return encode_record(
            Begin(
                session_id=self._session_id,
                seq=seq,
                started_at_us=now_us,
                protocol=protocol,
                text=text,
                text_bytes=prepared.text_bytes,
                text_sha256=prepared.text_sha256,
                masked=prepared.masked,
                parameter_types=prepared.types,
                parameters=parameters,
            )
        )

    def _prepared(self, request: Request, body: bytes, types: tuple[int, ...] | None) -> Prepared:
        """Return what is kept of the text that `body` begins with."""
        text = body.partition(b"\0")[0]
        size, digest = len(text), None
        if request.text_sha256 is not None:
            size, digest = request.text_bytes, request.text_sha256
            text = text[: self._longest] + b"\xe2\x80\xa6"
            renames = Renames.STATEMENTS | Renames.PORTALS  # nobody looks at the rest
        else:
            renames = renamed_by(text)
        masked = mask(text) if may_hold_secret(text) else None
        if masked is not None:
            return Prepared(masked, size, None, masked=True, types=types, renames=renames)
        return Prepared(text, size, digest, types=types, renames=renames)

    # What the target says.

    def server_says(self, data: bytes) -> None:
        """Take note of `data`, the next of what the target says, and write down what it ends."""
        boundary = self.boundary
        boundary.advance(data)
        notable = boundary.notable
        if notable:
            for kind, body, end, self._rows_sent in notable:
                self._hear(kind, body, end)
            notable.clear()

    def _hear(self, kind: int, body: bytes, end: int) -> None:
        if self._maybe_answered and kind not in _WITHIN_COPY:
            self._settle_copy(kind)
        if kind == _READY:
            self._be_ready(body, end)
        elif not self._unanswered:
            return
        elif kind == _ERROR:
            self._fail(_sqlstate(body), end)
        elif kind in _OF_RUNS:
            run = self._running()
            if run is not None:
                self._hear_of(run, kind, body, end)
        else:
            self._acknowledge(kind)

    def _hear_of(self, run: Run, kind: int, body: bytes, end: int) -> None:
        if kind == _COMPLETE:
            self._complete(run, body, end)
        elif kind == _COPY_IN:
            self._copies += 1
        elif not run.is_query:
            self._unanswered.popleft()
            self._rows = self._rows_sent - self._rows_before
            self._end(run, _SUSPENDS if kind == _SUSPENDED else _DONE, end)

    def _settle_copy(self, kind: int) -> None:
        """Take an answer after Syncs that were said within a COPY, and may be answered: not if it
        ended well, and not once there is an answer to something that came after them."""
        if kind == _ERROR and self._copies:
            return
        self._maybe_answered = 0

    def _running(self) -> Run | None:
        """Return what the target is running now. What stands before it was never answered, such as
        a Sync that came in the middle of a COPY."""
        while self._unanswered:
            head = self._unanswered[0]
            if isinstance(head, Run):
                return head
            self._unanswered.popleft()
        return None

    def _complete(self, run: Run, body: bytes, end: int) -> None:
        tag = body[:-1][:_LONGEST_TAG]
        if self.counts_changes:
            self.changed = 0 if tag == b"COMMIT" else self.changed + changed_by(tag)
        if not run.is_query:
            self._tag = tag
            self._unanswered.popleft()
            self._end(run, _DONE, end)
        elif self._tag is None:
            self._tag = tag
        else:  # another statement of the same Query
            self._rows = (rows_of(self._tag) if self._rows is None else self._rows) or 0
            self._rows += rows_of(tag) or 0
            self._tag = tag

    def _fail(self, sqlstate: bytes, end: int) -> None:
        head = self._unanswered[0]
        if head is not None and head.refused is not None:
            self._replacement, sqlstate = head.refused.answer, head.refused.sqlstate
        if isinstance(head, Run) and head.is_query:
            self._sqlstate = sqlstate
            return
        failed = self._failed(head)
        self._skipping = True
        while self._unanswered:
            each = self._unanswered.popleft()
            if each is None:
                self._unanswered.appendleft(None)
                self._skipping = False
                break
            if each.refused is not None:
                self.refusals -= 1
            if isinstance(each, Run):
                self._sqlstate = sqlstate if each is failed else None
                self._end(each, _ending_of(head) if each is failed else _SKIPPED, end)
        if failed is None and isinstance(head, Naming):
            self._end_unrun(head, _ending_of(head), sqlstate)
        self.names.revert(self._unanswered)

    def _failed(self, head: Unanswered) -> Run | None:
        """Return the statement that an error belongs to: the one that was to be run next, if it
        has to do with the message that failed."""
        wanted = _prepared_by(head)
        for each in self._unanswered:
            if each is None:
                return None
            if isinstance(each, Run) and (wanted is None or each.prepared is wanted):
                return each
        return None

    def _end_unrun(self, naming: Naming, ending: int, sqlstate: bytes) -> None:
        """Write down a statement that failed before anybody wanted to run it."""
        prepared = _prepared_by(naming)
        if prepared is None:
            return
        now_us = self._now_us()
        self._seq = seq = self._seq + 1
        self._append_late(
            self._record(prepared, Protocol.PARSE, None, seq, now_us)
            + encode_end(self._session, seq, 0, ending, None, None, sqlstate, 0, 0)
        )

    def _acknowledge(self, answer: int) -> None:
        while self._unanswered and self._unanswered[0] is None:
            self._unanswered.popleft()
        head = self._unanswered[0] if self._unanswered else None
        if isinstance(head, Naming) and head.answer == answer:
            self._unanswered.popleft()
            self.names.acknowledged(head)

    def _be_ready(self, body: bytes, end: int) -> None:
        if body:
            self.status = body[0]
            if self.status == ord("I"):
                self.changed = 0
                self.names.end_transaction()
        if self._maybe_answered and not self._copies and not self._expects_ready:
            self._maybe_answered -= 1
            self._skipping = False
            return
        unanswered = self._unanswered
        while unanswered:
            each = unanswered.popleft()
            if each is None:
                break
            if isinstance(each, Run):
                if each.refused is not None:
                    self.refusals -= 1
                self._end(each, _DONE if self._sqlstate is None else _ending_of(each), end)
                if each.is_query:
                    break
        if not unanswered:
            self.names.all_is_answered()

    @property
    def _expects_ready(self) -> bool:
        return bool(self._unanswered) and self._unanswered[0] is None

    def _end(self, run: Run, ending: int, end: int) -> None:
        """`ending` is one of ENDING_NUMBERS; the target had said so much, up to `end`."""
        if self._requests.copied and self._newest_run() is None:
            self._count_copied(run)
        if self._copies_ended:
            self._copies_ended.pop(run.seq, None)
        self._copies = 0
        sent, self._counted_to_client = end - self._counted_to_client, end
        self._append_late(
            encode_end(
                self._session,
                run.seq,
                max(self._now_us() - run.started_us, 0),
                ending,
                self._rows,
                self._tag,
                self._sqlstate,
                run.client_bytes,
                sent,
            )
        )
        self._tag = self._rows = self._sqlstate = None
        self._rows_before = self._rows_sent

    # Beside both.

    def cancelled(self) -> None:
        """Write down that somebody asked to cancel what this session is doing."""
        now_us = self._now_us()
        self._seq = seq = self._seq + 1
        self._append_late(
            encode_plain_begin(self._session, seq, now_us, PROTOCOL_NUMBERS[Protocol.CANCEL], b"")
            + encode_end(self._session, seq, 0, _DONE, None, None, None, 0, 0)
        )

    def close(self) -> None:
        """Write down that the session has ended, and with it what was still running."""
        for each in self._unanswered:
            if isinstance(each, Run):
                ending = _UNKNOWN if self._sqlstate is None else _FAILED
                self._end(each, ending, self.boundary.received)
        self._unanswered.clear()
        self._append_late(encode_record(Closed(self._session_id)))


def _ending_of(head: Unanswered) -> int:
    return _REFUSED if head is not None and head.refused is not None else _FAILED


def _prepared_by(message: Unanswered) -> Prepared | None:
    """Return what a Parse or Bind is about."""
    meaning = message.meaning if isinstance(message, Naming) else None
    return meaning.prepared if isinstance(meaning, Bound) else meaning


def changed_by(tag: bytes) -> int:
    """Return how many rows a command changed, by its tag."""
    return 0 if tag.startswith((b"SELECT", b"FETCH", b"MOVE")) else rows_of(tag) or 0


def _sqlstate(body: bytes) -> bytes:
    """Return the SQLSTATE of an ErrorResponse."""
    for field in body.split(b"\0"):
        if field[:1] == b"C" and len(field) == 6:
            return field[1:]
    return b"XX000"
