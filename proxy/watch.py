"""Judges what a client says, before it is passed on, for grants whose policy wants that: statements
of some kinds are refused, and a transaction that changed much is held at its COMMIT. Pure.

What is refused is not withheld: the target gets something in its place that fails there, so that
transactions, pipelines and what is skipped up to the next Sync are as after any error, and its
error is replaced by ours on the way back. What cannot be parsed is refused, too.

The target reads bytes in an encoding that may change at any time, and we read UTF-8. Of all
encodings that PostgreSQL knows for clients, those that are read differently enough to matter have a
backslash as the second byte of a character: so no backslash may follow a byte that is not ASCII.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from broker.domain.statement.conditions import CommitGate, Conditions, what_is_refused
from broker.sql.kinds import Parsed, TransactionVerb, Unparsable
from proxy.prepared import Names
from proxy.transcript import Refused, Transcript
from proxy.wire.messages import encode_frame, encode_statement_error

_QUERY, _PARSE, _BIND, _EXECUTE = b"QPBE"
_REFUSED = "42501"  # insufficient_privilege
_NO_TRANSACTION = "25P01"  # no_active_sql_transaction
_TOO_LONG = "54000"  # program_limit_exceeded
# No statement, for any version: its error never reaches the client.
_NO_SQL = b"REFUSED BY pgcurfew"
_NO_NAME = b"refused by pgcurfew"
_AMBIGUOUS = re.compile(rb"[\x80-\xff]\\")
_COMMITS = (TransactionVerb.COMMIT,)
_TWO_PHASE = (
    TransactionVerb.PREPARE,
    TransactionVerb.COMMIT_PREPARED,
    TransactionVerb.ROLLBACK_PREPARED,
)

Parser = Callable[[str], Sequence[Parsed]]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Pass `instead` on; the client gets what `refused` says."""

    refused: Refused
    instead: bytes


class Verdict(Enum):
    PASS = auto()
    WAIT = auto()  # until the target has answered for what was passed on
    HOLD = auto()  # until somebody decides about the COMMIT


class Watch:
    """The judgement of one session. `parse` says what statements a text has, or raises
    Unparsable."""

    def __init__(self, conditions: Conditions, transcript: Transcript, parse: Parser) -> None:
        self._refused = conditions.refused
        self._gate = conditions.commit_gate
        self._transcript = transcript
        self._parse = parse
        # Whether a transaction block is open, if all goes well; and the number of the answer that
        # will tell, among those that say so, if the target has not.
        self._in_block = False
        self._told_by: int | None = None
        self._confirmed = False
        self._about_to_run: Sequence[Parsed] = ()
        self._uncounted = False  # the open transaction may have changed more than the target says
        transcript.counts_changes = self._gate is not None

    @property
    def gate(self) -> CommitGate:
        assert self._gate is not None
        return self._gate

    def confirm(self) -> None:
        """Let the COMMIT pass that is held."""
        self._confirmed = True

    def judge(self, kind: int, body: bytes) -> Verdict | Refuse:
        """Decide about a whole Query or Parse, or about a Bind or Execute of which the names are
        there."""
        if self._told_by is not None and self._transcript.ends_answered >= self._told_by:
            self._in_block = self._transcript.status != ord("I")
            self._told_by = None
        match kind:
            case 81:  # Query
                return self._judge_query(body.partition(b"\0")[0])
            case 80:  # Parse
                name, _, rest = body.partition(b"\0")
                return self._judge_parse(name, rest.partition(b"\0")[0])
            case 66:  # Bind
                portal, _, rest = body.partition(b"\0")
                name, zero, _ = rest.partition(b"\0")
                return self._judge_bind(portal, name) if zero else self.too_long(kind, body)
            case 69:  # Execute
                return self._judge_execute(body.partition(b"\0")[0])
            case _:
                return Verdict.PASS

    def too_long(self, kind: int, body: bytes) -> Refuse:
        """Refuse what is too long to be looked at, by the beginning of it."""
        reason = "the statement is too long to be looked at, as this grant's statements have to be"
        if kind == _BIND:
            return self._refuse_bind(body.partition(b"\0")[0], _TOO_LONG, reason)
        if kind == _PARSE:
            return self._refuse_parse(body.partition(b"\0")[0], _TOO_LONG, reason)
        return self._refuse_query(_TOO_LONG, reason)

    def passed(self, kind: int, body: bytes) -> None:
        """Take note that it has been passed on as it is."""
        if kind == _QUERY:
            self._follow(self._about_to_run, self._transcript.ends)
        elif kind == _PARSE:
            text = body.partition(b"\0")[2].partition(b"\0")[0]
            self._transcript.newest_is(tuple(self._read(text)))
        elif kind == _EXECUTE:
            self._follow(self._about_to_run, self._transcript.ends + 1)

    @property
    def _names(self) -> Names:
        return self._transcript.names

    def _judge_query(self, text: bytes) -> Verdict | Refuse:
        try:
            statements = self._read(text)
        except Unparsable as error:
            return self._refuse_query("42601", f"the statement cannot be read: {error}")
        why = self._why_not(statements)
        if why is not None:
            return self._refuse_query(_REFUSED, why)
        self._about_to_run = statements
        if self._gate is None:
            return Verdict.PASS
        commits = [each for each in statements if each.verb in _COMMITS]
        if commits and len(statements) > 1:
            why = "COMMIT has to come by itself, since this grant's are held if they change much"
            return self._refuse_query(_REFUSED, why)
        if commits:
            return self._judge_commit()
        return self._judge_changes(statements) or self._refuse_query(_NO_TRANSACTION, _BEGIN_FIRST)

    def _judge_changes(self, statements: Iterable[Parsed]) -> Verdict | None:
        """Return None if rows would be changed outside of a transaction block."""
        in_block, is_told = self._in_block, not self._block_is_unsure
        for each in statements:
            if each.changes_rows and not is_told:
                return Verdict.WAIT
            if each.changes_rows and not in_block:
                return None
            if each.verb is TransactionVerb.BEGIN:
                in_block = is_told = True
            elif each.verb is TransactionVerb.ROLLBACK:
                in_block = in_block and each.chain
        return Verdict.PASS

    @property
    def _block_is_unsure(self) -> bool:
        """Whether BEGIN, say, may have failed, and what comes now would be run all the same: then
        it is not skipped, as it would be in the same batch."""
        return self._told_by is not None and self._told_by <= self._transcript.ends

    def _judge_parse(self, name: bytes, text: bytes) -> Verdict | Refuse:
        try:
            statements = self._read(text)
        except Unparsable as error:
            return self._refuse_parse(name, "42601", f"the statement cannot be read: {error}")
        why = self._why_not(statements)
        return Verdict.PASS if why is None else self._refuse_parse(name, _REFUSED, why)

    def _judge_bind(self, portal: bytes, statement: bytes) -> Verdict | Refuse:
        """A change outside a transaction is refused when it is bound: an Execute that fails would
        have to name a portal that there is not, and could be told from this."""
        if self._gate is not None and self._transcript.statement_is_unsure(statement):
            return Verdict.WAIT
        parsed = self._names.statement(statement).parsed
        changes = parsed is None or any(each.changes_rows for each in parsed)
        if self._gate is None or not changes:
            return Verdict.PASS
        if self._block_is_unsure:
            return Verdict.WAIT
        if not self._in_block:
            return self._refuse_bind(portal, _NO_TRANSACTION, _BEGIN_FIRST)
        return Verdict.PASS

    def _judge_execute(self, portal: bytes) -> Verdict | Refuse:
        """What nobody knows may be a COMMIT."""
        if self._gate is not None and self._transcript.portal_is_unsure(portal):
            return Verdict.WAIT
        parsed = self._names.portal(portal).prepared.parsed
        self._about_to_run = parsed or ()
        if self._gate is None:
            return Verdict.PASS
        if parsed is None or any(each.verb in _COMMITS for each in parsed):
            return self._judge_commit()
        return Verdict.PASS

    def _judge_commit(self) -> Verdict:
        if self._confirmed or self._transcript.is_skipping:
            return Verdict.PASS
        if self._transcript.runs_unanswered:
            return Verdict.WAIT  # what they change is not known yet
        if self._told_by is None and self._transcript.status == ord("E"):
            return Verdict.PASS  # a transaction that has failed is rolled back by COMMIT, too
        is_large = self._uncounted or self._transcript.changed > self.gate.rows
        return Verdict.HOLD if is_large else Verdict.PASS

    def _why_not(self, statements: Iterable[Parsed]) -> str | None:
        for each in statements:
            if kinds := each.kinds & self._refused:
                refused = " and ".join(sorted(map(what_is_refused, kinds)))
                return f"{each.label} is refused: the policy of this grant allows no {refused}"
            if self._gate is not None and each.verb in _TWO_PHASE:
                return f"{each.label} is refused, since this grant's COMMITs may be held"
        return None

    def _read(self, text: bytes) -> Sequence[Parsed]:
        """Raises Unparsable."""
        if _AMBIGUOUS.search(text):
            raise Unparsable("a backslash follows a character that is not ASCII", 0)
        try:
            return self._parse(text.decode())
        except UnicodeDecodeError as error:
            raise Unparsable("it is not in UTF-8", error.start) from None

    def _follow(self, statements: Iterable[Parsed], told_by: int) -> None:
        for each in statements:
            if each.verb is TransactionVerb.BEGIN:
                self._in_block = True
                self._told_by = told_by
            elif each.verb in (TransactionVerb.COMMIT, TransactionVerb.ROLLBACK):
                self._in_block = self._in_block and each.chain
                self._told_by = told_by
                self._confirmed = self._uncounted = False
            elif each.changes_rows and not each.is_counted:
                self._uncounted = True

    def _refuse_query(self, sqlstate: str, why: str) -> Refuse:
        return Refuse(_refused(sqlstate, why), encode_frame(b"Q", _NO_SQL + b"\0"))

    def _refuse_parse(self, name: bytes, sqlstate: str, why: str) -> Refuse:
        instead = encode_frame(b"P", name + b"\0" + _NO_SQL + b"\0\0\0")
        return Refuse(_refused(sqlstate, why), instead)

    def _refuse_bind(self, portal: bytes, sqlstate: str, why: str) -> Refuse:
        nothing = bytes(6)  # no formats, no values, no formats of results
        instead = encode_frame(b"B", portal + b"\0" + _NO_NAME + b"\0" + nothing)
        return Refuse(_refused(sqlstate, why), instead)


_BEGIN_FIRST = (
    "begin a transaction first: changes of this grant are held at COMMIT if they are many"
)


def _refused(sqlstate: str, why: str) -> Refused:
    return Refused(sqlstate.encode(), encode_statement_error(sqlstate, why))
