"""What names mean, what is kept of texts and values, and what becomes of either when it is much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.prepared import (
    Bound,
    Names,
    Naming,
    Prepared,
    Renames,
    abbreviated,
    renamed_by,
    types_of,
    values_of,
)
from tests.support.messages import bind, parse

MEGABYTE = 1024**2


def parsed(name: bytes, text: bytes = b"SELECT 1", batch: int = 0) -> Naming:
    return Naming(ord("1"), name, Prepared(text), batch, is_portal=False)


def bound(name: bytes, text: bytes = b"SELECT 1", *values: bytes) -> Naming:
    return Naming(ord("2"), name, Bound(Prepared(text), values or None), 0, is_portal=True)


def closed(name: bytes) -> Naming:
    return Naming(ord("3"), name, None, 0, is_portal=False)


class TestNames:
    def test_mean_at_once_what_was_sent_last(self) -> None:
        names = Names()
        names.sent(parsed(b"s", b"SELECT 1"), ())
        names.sent(parsed(b"s", b"SELECT 2"), ())
        assert names.statement(b"s").text == b"SELECT 2"

    def test_mean_what_was_acknowledged_when_the_rest_was_skipped(self) -> None:
        names = Names()
        first, second = parsed(b"s", b"SELECT 1"), parsed(b"s", b"SELECT 2")
        names.sent(first, ())
        names.acknowledged(first)
        names.sent(closed(b"s"), ())
        names.sent(second, ())
        names.revert(())
        assert names.statement(b"s").text == b"SELECT 1"

    def test_mean_what_is_still_pending_when_something_before_was_skipped(self) -> None:
        names = Names()
        names.sent(parsed(b"s", b"SELECT 1"), ())
        pending = parsed(b"s", b"SELECT 2")
        names.revert([None, pending])
        assert names.statement(b"s").text == b"SELECT 2"

    def test_that_nobody_gave_are_said_to_be_unknown(self) -> None:
        names = Names()
        assert names.statement(b"s").text == b'(statement "s", of which nothing is known here)'
        assert names.portal(b"p").prepared.text == b'(portal "p", of which nothing is known here)'

    def test_that_were_closed_mean_nothing(self) -> None:
        names = Names()
        names.sent(parsed(b"s"), ())
        names.sent(closed(b"s"), ())
        assert b"nothing is known" in names.statement(b"s").text

    def test_are_unsure_in_the_next_batch_until_they_are_acknowledged(self) -> None:
        names, naming = Names(), parsed(b"s", batch=3)
        names.sent(naming, ())
        assert not names.statement_is_unsure(b"s", 3)
        assert names.statement_is_unsure(b"s", 4)
        names.acknowledged(naming)
        assert not names.statement_is_unsure(b"s", 4)

    def test_are_unsure_until_the_last_word_about_them_is_acknowledged(self) -> None:
        names, first = Names(), parsed(b"s")
        names.sent(first, ())
        names.sent(closed(b"s"), ())
        names.acknowledged(first)
        assert names.statement_is_unsure(b"s", 1)
        names.all_is_answered()
        assert not names.statement_is_unsure(b"s", 1)

    def test_of_portals_are_unsure_in_the_same_way(self) -> None:
        names, naming = Names(), bound(b"p")
        names.sent(naming, ())
        assert names.portal_is_unsure(b"p", 1)
        names.acknowledged(naming)
        assert not names.portal_is_unsure(b"p", 1)

    def test_are_cut_as_the_server_cuts_them(self) -> None:
        names = Names()
        names.sent(parsed(b"n" * 63 + b"a", b"SELECT 1"), ())
        names.sent(parsed(b"n" * 63 + b"b", b"SELECT 2"), ())
        assert names.statement(b"n" * 63 + b"a").text == b"SELECT 2"

    def test_that_an_encoding_may_make_one_are_doubtful(self) -> None:
        """Two byte sequences of a client may be one character for the server."""
        names = Names()
        names.sent(parsed(b"\xee\xf9"), ())
        assert names.statement(b"\xee\xf9").text.endswith(b"since */ SELECT 1")

    def test_of_portals_end_with_the_transaction(self) -> None:
        names, old, new = Names(), bound(b"p"), bound(b"q")
        for each in (old, bound(b"r")):
            names.sent(each, ())
            names.acknowledged(each)
        names.sent(new, ())
        names.sent(bound(b"r", b"SELECT 2"), ())
        names.end_transaction()
        assert b"nothing is known" in names.portal(b"p").prepared.text
        assert names.portal(b"q").prepared.text == b"SELECT 1"
        assert names.portal(b"r").prepared.text == b"SELECT 2"

    def test_beyond_ten_thousand_push_out_the_oldest(self) -> None:
        names = Names()
        for number in range(10_001):
            names.sent(parsed(b"s%d" % number), ())
        assert b"nothing is known" in names.statement(b"s0").text
        assert names.statement(b"s1").text == b"SELECT 1"
        names.sent(parsed(b"s1", b"SELECT 2"), ())
        assert names.statement(b"s2").text == b"SELECT 1"

    def test_know_whether_any_is_given(self) -> None:
        names, naming = Names(), parsed(b"")
        given = [names.are_given]
        names.sent(naming, ())
        given.append(names.are_given)
        names.acknowledged(naming)
        names.sent(closed(b""), ())
        given.append(names.are_given)
        assert given == [False, True, True]


class TestDoubt:
    @pytest.mark.parametrize(
        ("text", "renames"),
        [
            (b"SELECT 1", Renames.NOTHING),
            (b"PREPARE s AS SELECT 1", Renames.STATEMENTS),
            (b"Deallocate ALL", Renames.STATEMENTS),
            (b"DISCARD ALL", Renames.STATEMENTS | Renames.PORTALS),
            (b"DECLARE c CURSOR FOR SELECT 1", Renames.PORTALS),
            (b"CLOSE c; deallocate s", Renames.STATEMENTS | Renames.PORTALS),
        ],
    )
    def test_comes_with_sql_that_gives_names(self, text: bytes, renames: Renames) -> None:
        assert renamed_by(text) is renames

    def test_holds_for_all_that_is_or_will_be_known(self) -> None:
        """Also of what is acknowledged later."""
        names, sure, pending = Names(), parsed(b"s"), parsed(b"t")
        names.sent(sure, ())
        names.acknowledged(sure)
        names.sent(pending, ())
        names.sent(parsed(b"t", b"SELECT 2"), ())
        names.heed(Renames.STATEMENTS, [pending, None, bound(b"p"), closed(b"x"), parsed(b"")])
        names.acknowledged(pending)
        names.revert(())
        doubtful = b'/* "%s", unless SQL has replaced it since */ SELECT 1'
        assert names.statement(b"s").text == doubtful % b"s"
        assert names.statement(b"t").text == doubtful % b"t"

    def test_does_not_touch_what_has_no_name(self) -> None:
        names = Names()
        names.sent(parsed(b""), ())
        names.sent(bound(b""), ())
        names.heed(Renames.STATEMENTS | Renames.PORTALS, ())
        assert names.statement(b"").text == names.portal(b"").prepared.text == b"SELECT 1"

    def test_of_a_portal_is_no_doubt_of_its_statement(self) -> None:
        names, statement = Names(), parsed(b"s")
        names.sent(statement, ())
        assert isinstance(statement.meaning, Prepared)
        portal = Naming(ord("2"), b"p", Bound(statement.meaning, None), 0, is_portal=True)
        names.sent(portal, ())
        names.heed(Renames.PORTALS, [portal])
        assert b'"p", unless' in names.portal(b"p").prepared.text
        assert names.statement(b"s").text == b"SELECT 1"

    def test_is_said_once(self) -> None:
        prepared = Prepared(b"SELECT 1")
        prepared.doubt(b"s")
        once = prepared.text
        prepared.doubt(b"s")
        assert prepared.text == once
        assert not prepared.is_plain

    def test_cannot_be_ended_by_a_name(self) -> None:
        prepared = Prepared(b"SELECT 1")
        prepared.doubt(b"*/ DROP TABLE t --")
        assert prepared.text.count(b"*/") == 1


class TestMemory:
    def test_of_many_long_texts_only_the_beginnings_are_kept(self) -> None:
        names = Names()
        for number in range(40):
            names.sent(parsed(b"s%d" % number, b"x" * MEGABYTE), ())
        kept = [names.statement(b"s%d" % number) for number in range(40)]
        assert sum(each.size for each in kept) <= 17 * MEGABYTE
        assert kept[-1].text_bytes == MEGABYTE
        assert kept[-1].text_sha256 is not None
        assert kept[0].text_sha256 is None

    def test_of_what_is_pending_is_bounded_too(self) -> None:
        names, pending = Names(), list[object]()
        for _ in range(40):
            naming = parsed(b"", b"x" * MEGABYTE)
            names.sent(naming, pending)
            pending.append(naming)
        texts = [each.meaning for each in pending if isinstance(each, Naming)]
        assert sum(each.size for each in texts if each is not None) <= 17 * MEGABYTE

    def test_of_values_is_bounded_too(self) -> None:
        names = Names()
        for number in range(40):
            names.sent(bound(b"p%d" % number, b"SELECT $1", b"x" * MEGABYTE), ())
        parameters = names.portal(b"p39").parameters
        assert parameters == (b"(the values took too much room)",)
        assert names.portal(b"p0").parameters == (b"x" * MEGABYTE,)

    def test_is_free_again_when_names_are_closed(self) -> None:
        names = Names()
        for number in range(40):
            names.sent(parsed(b"s%d" % number, b"x" * MEGABYTE), ())
        for number in range(40):
            names.sent(closed(b"s%d" % number), ())
        for _ in range(1_000):
            names.sent(parsed(b"short"), ())
        names.sent(parsed(b"long", b"x" * MEGABYTE), ())
        assert names.statement(b"long").text == b"x" * MEGABYTE

    def test_a_text_that_is_short_or_has_no_values_stays_as_it_is(self) -> None:
        prepared, portal = Prepared(b"SELECT 1"), Bound(Prepared(b""), None)
        prepared.shorten()
        portal.shorten()
        assert prepared.text == b"SELECT 1"
        assert portal.parameters is None

    @pytest.mark.parametrize(("masked", "has_digest"), [(False, True), (True, False)])
    def test_no_digest_is_made_of_what_is_masked(self, *, masked: bool, has_digest: bool) -> None:
        prepared = Prepared(b"x" * 300, masked=masked)
        prepared.shorten()
        assert (prepared.text_sha256 is not None) is has_digest
        digest = prepared.text_sha256
        prepared.shorten()
        assert prepared.text_sha256 == digest

    def test_a_text_that_was_cut_before_keeps_its_digest(self) -> None:
        prepared = Prepared(b"x" * 300, 5_000, bytes(32))
        prepared.shorten()
        assert prepared.text_sha256 == bytes(32)


def test_a_repeated_text_refers_to_where_it_is_in_full() -> None:
    prepared = Prepared(b"x" * 2_000)
    prepared.in_full = 7
    text = "x" * 200 + "… (in full: statement 7)"
    assert abbreviated(prepared) == text.encode()


class TestTypes:
    def test_are_read(self) -> None:
        assert types_of(parse("s", "SELECT", 23, 25)[5:].split(b"SELECT\0")[1]) == (23, 25)
        assert types_of(b"\0\0") == ()

    @pytest.mark.parametrize("tail", [b"", b"\0", b"\0\2\0\0\0\x17", b"\xff\xff"])
    def test_are_not_known_if_the_count_lies(self, tail: bytes) -> None:
        assert types_of(tail) is None


def values(*given: bytes | None, formats: tuple[int, ...] = ()) -> bytes:
    """Return a Bind as it is after both names."""
    return bind("", *given, formats=formats)[7:]


def unmasked(_text: bytes) -> bytes | None:
    return None


class TestValues:
    def test_are_as_the_client_sent_them(self) -> None:
        assert values_of(values(b"1", None, b""), unmasked) == (b"1", None, b"")

    @pytest.mark.parametrize(
        ("formats", "shown"),
        [
            ((1,), (b"\\x00ff", b"\\x31")),
            ((0, 1), (b"\0\xff", b"\\x31")),
            ((1, 0), (b"\\x00ff", b"1")),
            ((0, 0, 1), (b"\0\xff", b"1")),
            ((1, 1), (b"\\x00ff", b"\\x31")),
        ],
    )
    def test_in_binary_are_hexadecimal(
        self, formats: tuple[int, ...], shown: tuple[bytes, ...]
    ) -> None:
        assert values_of(values(b"\0\xff", b"1", formats=formats), unmasked) == shown

    def test_beyond_the_formats_that_are_given_are_text(self) -> None:
        assert values_of(values(b"1", b"2", b"3", formats=(1, 1)), unmasked) == (
            b"\\x31",
            b"\\x32",
            b"3",
        )

    def test_are_cut_with_their_length(self) -> None:
        (shown,) = values_of(values(b"x" * 5_000), unmasked) or ()
        assert shown == ("x" * 1_000 + "… (5000 bytes)").encode()

    def test_are_masked(self) -> None:
        assert values_of(values(b"secret"), lambda _text: b"***") == (b"***",)

    @pytest.mark.parametrize("cut", range(1, 16))
    def test_end_where_the_message_does(self, cut: int) -> None:
        whole = values(b"abc", b"def")[:-2]
        found = values_of(whole[:-cut], unmasked)
        assert found is not None
        assert found[-1] in (b"(the rest was too long)", b"", b"d", b"de")

    @given(body=st.binary(max_size=60))
    def test_of_garbage_are_something(self, body: bytes) -> None:
        values_of(body, unmasked)
        types_of(body)
