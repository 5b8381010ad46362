"""What names of prepared statements and portals mean, in a session, for its record. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Flag, auto
from hashlib import sha256
from struct import error as CutShort  # noqa: N812
from struct import unpack_from
from typing import TypeVar, cast

from broker.sql.kinds import Parsed

_SHOWN = 200  # bytes of a text, or a name, where it is only referred to
_LONGEST_PLAIN = 1_024
_LONGEST_VALUE = 1_000  # bytes
_MOST_NAMES = 10_000
_MOST_TEXT = 16 * 1024**2  # bytes of texts and values that are remembered of a session's names
_COUNTED_EVERY = 1_000
_LONGEST_NAME = 63  # bytes: what is longer is cut by the server, PostgreSQL's NAMEDATALEN - 1
_CUT = b"\xe2\x80\xa6"  # an ellipsis


class Renames(Flag):
    """What names SQL may give and take, too, beside the protocol."""

    NOTHING = 0
    STATEMENTS = auto()
    PORTALS = auto()


_RENAMING = (
    (b"prepare", Renames.STATEMENTS),  # also as a part of DEALLOCATE PREPARE
    (b"deallocate", Renames.STATEMENTS),
    (b"discard", Renames.STATEMENTS | Renames.PORTALS),
    (b"declare", Renames.PORTALS),
    (b"close", Renames.PORTALS),
)


def renamed_by(text: bytes) -> Renames:
    """Return which names mean something else after this was run, at most."""
    lowered = text.lower()
    found = Renames.NOTHING
    for word, names in _RENAMING:
        if word in lowered:
            found |= names
    return found


class Prepared:
    """A text that can be run, as it is kept. `in_full` is the number of the statement of that `day`
    (since 1970) that has it in full, or 0."""

    __slots__ = (
        "day",
        "in_full",
        "is_plain",
        "masked",
        "parsed",
        "renames",
        "text",
        "text_bytes",
        "text_sha256",
        "types",
    )

    def __init__(
        self,
        text: bytes,
        text_bytes: int | None = None,
        text_sha256: bytes | None = None,
        *,
        masked: bool = False,
        types: tuple[int, ...] | None = None,
        renames: Renames = Renames.NOTHING,
    ) -> None:
        self.text = text
        self.text_bytes = len(text) if text_bytes is None else text_bytes
        self.text_sha256 = text_sha256
        self.masked = masked
        self.types = types
        self.is_plain = (
            len(text) <= _LONGEST_PLAIN and text_sha256 is None and not masked and types is None
        )
        self.in_full = 0
        self.day = 0
        self.renames = renames
        self.parsed: tuple[Parsed, ...] | None = None  # what it is, where somebody looked

    @property
    def size(self) -> int:
        return len(self.text)

    def shorten(self) -> None:
        if len(self.text) > _SHOWN + len(_CUT):
            if self.text_sha256 is None and not self.masked:
                self.text_sha256 = sha256(self.text).digest()
            self.text = self.text[:_SHOWN] + _CUT
            self.is_plain = False

    def doubt(self, name: bytes) -> None:
        """Say from now on that this may not be what the name means."""
        note = _doubt_of(name)
        if not self.text.startswith(note):
            self.text = note + self.text
            self.is_plain = False
            self.in_full = 0
            self.parsed = None
            self.renames = Renames.STATEMENTS | Renames.PORTALS


class Bound:
    """A portal: a statement with its parameters, as far as they are recorded."""

    __slots__ = ("parameters", "prepared")

    def __init__(self, prepared: Prepared, parameters: tuple[bytes | None, ...] | None) -> None:
        self.prepared = prepared
        self.parameters = parameters

    @property
    def size(self) -> int:
        return sum(len(each or b"") for each in self.parameters or ())

    def shorten(self) -> None:
        if self.parameters:
            self.parameters = (b"(the values took too much room)",)

    def doubt(self, name: bytes) -> None:
        """Say from now on that this may not be what the name means."""
        was = self.prepared
        self.prepared = Prepared(
            was.text, was.text_bytes, was.text_sha256, masked=was.masked, types=was.types
        )
        self.prepared.doubt(name)


class Naming:
    """A Parse, Bind or Close, until the target has acknowledged it. A Close has no `meaning`.

    `answer` is the type byte of the acknowledgement, and `batch` how many Syncs came before it.
    """

    __slots__ = ("answer", "batch", "is_portal", "meaning", "name", "refused")

    def __init__(
        self,
        answer: int,
        name: bytes,
        meaning: Prepared | Bound | None,
        batch: int,
        *,
        is_portal: bool,
    ) -> None:
        self.answer = answer
        self.name = name[:_LONGEST_NAME]
        self.meaning = meaning
        self.batch = batch
        self.is_portal = is_portal
        self.refused: Refused | None = None
        if meaning is not None and not self.name.isascii():
            meaning.doubt(self.name)  # in some encodings two names in bytes are one for the server


@dataclass(frozen=True, slots=True)
class Refused:
    """What the client gets in place of the target's error."""

    sqlstate: bytes
    answer: bytes


class Names:
    """What names mean if everything goes well that was sent, and what they certainly mean."""

    __slots__ = (
        "_crowded",
        "_kept",
        "_portals",
        "_statements",
        "_sure_portals",
        "_sure_statements",
        "_unsure_portals",
        "_unsure_statements",
    )

    def __init__(self) -> None:
        self._kept = 0  # bytes of texts and values, at most
        self._crowded = 0  # how many are shortened before it is counted again
        self._statements: dict[bytes, Prepared] = {}
        self._portals: dict[bytes, Bound] = {}
        self._sure_statements: dict[bytes, Prepared] = {}
        self._sure_portals: dict[bytes, Bound] = {}
        # What was sent last about a name, until it is acknowledged.
        self._unsure_statements: dict[bytes, Naming] = {}
        self._unsure_portals: dict[bytes, Naming] = {}

    @property
    def are_given(self) -> bool:
        """Whether any name may mean something."""
        return bool(self._statements or self._sure_statements)

    def statement(self, name: bytes) -> Prepared:
        return self._statements.get(name[:_LONGEST_NAME]) or _unknown(b"statement", name)

    def portal(self, name: bytes) -> Bound:
        """Return what an Execute of it runs; DECLARE makes portals that nobody here knows."""
        known = self._portals.get(name[:_LONGEST_NAME])
        return known or Bound(_unknown(b"portal", name), None)

    def statement_is_unsure(self, name: bytes, batch: int) -> bool:
        """Whether it depends on the answers to an earlier batch what the name means: what comes
        after an error in that is skipped, and this would not be."""
        naming = self._unsure_statements.get(name[:_LONGEST_NAME])
        return naming is not None and naming.batch != batch

    def portal_is_unsure(self, name: bytes, batch: int) -> bool:
        naming = self._unsure_portals.get(name[:_LONGEST_NAME])
        return naming is not None and naming.batch != batch

    def sent(self, naming: Naming, pending: Iterable[object]) -> None:
        """Let the name mean this from here on. `pending` are those that were sent before, too."""
        name, meaning = naming.name, naming.meaning
        if meaning is not None:
            self._bound_memory(meaning, pending)
        if naming.is_portal:
            _put(self._portals, name, meaning)
            self._unsure_portals[name] = naming
        else:
            _put(self._statements, name, meaning)
            self._unsure_statements[name] = naming

    def acknowledged(self, naming: Naming) -> None:
        name, meaning = naming.name, naming.meaning
        if naming.is_portal:
            _put(self._sure_portals, name, meaning)
            unsure = self._unsure_portals
        else:
            _put(self._sure_statements, name, meaning)
            unsure = self._unsure_statements
        if unsure.get(name) is naming:
            del unsure[name]

    def revert(self, pending: Iterable[object]) -> None:
        """Forget what was sent and is not acknowledged, but for what is still `pending`."""
        self._statements = dict(self._sure_statements)
        self._portals = dict(self._sure_portals)
        self._unsure_statements.clear()
        self._unsure_portals.clear()
        for each in pending:
            if isinstance(each, Naming):
                self.sent(each, ())

    def all_is_answered(self) -> None:
        """Nothing is pending, whatever became of it."""
        self._unsure_statements.clear()
        self._unsure_portals.clear()

    def end_transaction(self) -> None:
        """Forget the portals that the server has closed."""
        portals = self._portals
        for name, bound in self._sure_portals.items():
            if portals.get(name) is bound:
                del portals[name]
        self._sure_portals.clear()

    def heed(self, renames: Renames, pending: Iterable[object]) -> None:
        """After SQL that may give names, too, no name is sure to mean what we know."""
        for each in pending:
            if isinstance(each, Naming) and each.name and each.meaning is not None:
                kind = Renames.PORTALS if each.is_portal else Renames.STATEMENTS
                if kind in renames:
                    each.meaning.doubt(each.name)
        known: list[tuple[bytes, Prepared | Bound]] = []
        if Renames.STATEMENTS in renames:
            known += (*self._statements.items(), *self._sure_statements.items())
        if Renames.PORTALS in renames:
            known += (*self._portals.items(), *self._sure_portals.items())
        for name, meaning in known:
            if name:
                meaning.doubt(name)

    def _bound_memory(self, new: "Prepared | Bound", pending: Iterable[object]) -> None:
        """Keep only the beginning of what is new, where all together takes too much room."""
        if self._crowded:
            self._crowded -= 1
            new.shorten()
        size = new.size
        self._kept += size
        if self._kept > _MOST_TEXT:
            named = (
                *self._statements.values(),
                *self._sure_statements.values(),
                *self._portals.values(),
                *self._sure_portals.values(),
                *(each.meaning for each in pending if isinstance(each, Naming)),
            )
            different = {id(each): each for each in named if each is not None}
            self._kept = sum(each.size for each in different.values())
            if self._kept + size > _MOST_TEXT:
                new.shorten()
                self._crowded = _COUNTED_EVERY
            self._kept += new.size


def abbreviated(prepared: Prepared) -> bytes:
    """Return what stands for a text that is in full elsewhere in the same session."""
    return prepared.text[:_SHOWN] + _CUT + b" (in full: statement %d)" % prepared.in_full


def types_of(tail: bytes) -> tuple[int, ...] | None:
    """Return the OIDs that a Parse gives for its parameters; None if it ends before."""
    try:
        (count,) = unpack_from("!H", tail)
        return tuple(unpack_from(f"!{count}I", tail, 2))
    except CutShort:
        return None


def values_of(
    rest: bytes, mask: Callable[[bytes], bytes | None]
) -> tuple[bytes | None, ...] | None:
    """Return the values of a Bind, as far as they are there. Those in binary are hexadecimal, as
    PostgreSQL writes bytea; long ones are cut."""
    values: list[bytes | None] = []
    try:
        (formats_count,) = unpack_from("!H", rest)
        formats = unpack_from(f"!{formats_count}H", rest, 2)
        position = 2 + 2 * formats_count
        (count,) = unpack_from("!H", rest, position)
        position += 2
        for number in range(count):
            (length,) = unpack_from("!i", rest, position)
            position += 4
            if length < 0:
                values.append(None)
                continue
            is_binary = _format(formats, number)
            values.append(_value(rest[position : position + length], length, mask, is_binary))
            position += length
    except CutShort:
        values.append(b"(the rest was too long)")
    return tuple(values)


def _format(formats: tuple[int, ...], number: int) -> bool:
    """One format is for all values; none is text for all."""
    if len(formats) == 1:
        return bool(formats[0])
    return number < len(formats) and bool(formats[number])


def _value(
    value: bytes,
    length: int,
    mask: Callable[[bytes], bytes | None],
    is_binary: bool,  # noqa: FBT001
) -> bytes:
    shown = value[:_LONGEST_VALUE]
    text = b"\\x" + shown.hex().encode() if is_binary else mask(shown) or shown
    return text if length <= _LONGEST_VALUE else text + _CUT + b" (%d bytes)" % length


_Meaning = TypeVar("_Meaning", Prepared, Bound)


def _put(names: dict[bytes, _Meaning], name: bytes, meaning: "Prepared | Bound | None") -> None:
    if meaning is None:
        names.pop(name, None)
        return
    if len(names) >= _MOST_NAMES and name not in names:
        names.pop(next(iter(names)))
    names[name] = cast("_Meaning", meaning)


def _unknown(what: bytes, name: bytes) -> Prepared:
    return Prepared(b'(%s "%s", of which nothing is known here)' % (what, name[:_SHOWN]))


def _doubt_of(name: bytes) -> bytes:
    shown = name.replace(b"*/", b"* /")
    return b'/* "%s", unless SQL has replaced it since */ ' % shown
