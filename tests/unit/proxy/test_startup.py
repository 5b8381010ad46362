"""Transcripts of how a connection begins, and what may be set while it does."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.network import Address
from proxy.startup import (
    MAX_NAME_BYTES,
    Authenticate,
    Cancel,
    Command,
    DeclineEncryption,
    Refuse,
    Startup,
    UpgradeToTls,
    application_name,
    upstream_parameters,
    wanted_database,
)
from proxy.wire.framing import MAX_STARTUP_LENGTH
from proxy.wire.messages import (
    CancelRequest,
    FirstMessage,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    encode_startup,
)

ADA = StartupMessage(0, {"user": "ada"}, ())
CANCEL = CancelRequest(7, b"4key")
TLS_MISSING = Refuse("28000", "this server requires TLS", "connect with sslmode=verify-full")


def fresh(*, tls_available: bool = True, tls_required: bool = True) -> Startup:
    return Startup(tls_available=tls_available, tls_required=tls_required)


def said(startup: Startup, *messages: FirstMessage) -> list[Command]:
    return [startup.receive(each) for each in messages]


def answer(**parameters: str) -> Command:
    """What a client hears that sends these startup parameters."""
    startup = fresh(tls_required=False)
    return startup.receive(StartupMessage(0, {"user": "ada", **parameters}, ()))


class TestEncryption:
    def test_is_begun_when_the_client_asks(self) -> None:
        assert said(fresh(), SslRequest(), ADA) == [UpgradeToTls(), Authenticate(ADA)]

    def test_with_gssapi_is_declined_and_tls_may_follow(self) -> None:
        """What libpq does on a machine with Kerberos."""
        assert said(fresh(), GssEncRequest(), SslRequest(), ADA) == [
            DeclineEncryption(),
            UpgradeToTls(),
            Authenticate(ADA),
        ]

    def test_is_required(self) -> None:
        assert said(fresh(), ADA) == [TLS_MISSING]

    def test_is_required_even_from_a_client_that_was_declined_gssapi(self) -> None:
        assert said(fresh(), GssEncRequest(), ADA) == [DeclineEncryption(), TLS_MISSING]

    def test_is_required_even_where_there_is_none(self) -> None:
        """Fail closed: a server without a certificate lets nobody in, rather than everybody."""
        assert said(fresh(tls_available=False), SslRequest(), ADA) == [
            DeclineEncryption(),
            TLS_MISSING,
        ]

    def test_may_be_left_out_where_the_operator_says_so(self) -> None:
        assert said(fresh(tls_required=False), ADA) == [Authenticate(ADA)]

    def test_that_is_not_available_is_declined(self) -> None:
        startup = fresh(tls_available=False, tls_required=False)
        assert said(startup, SslRequest(), ADA) == [DeclineEncryption(), Authenticate(ADA)]

    def test_from_the_first_byte_counts(self) -> None:
        startup = fresh()
        startup.encrypted_from_the_start()
        assert said(startup, ADA) == [Authenticate(ADA)]

    @pytest.mark.parametrize("request_", [SslRequest(), GssEncRequest()], ids=["TLS", "GSSAPI"])
    def test_inside_encryption_is_refused(self, request_: FirstMessage) -> None:
        refusal = Refuse("08P01", "this connection is already encrypted")
        assert said(fresh(), SslRequest(), request_) == [UpgradeToTls(), refusal]
        direct = fresh()
        direct.encrypted_from_the_start()
        assert said(direct, request_) == [refusal]

    @pytest.mark.parametrize("request_", [SslRequest(), GssEncRequest()], ids=["TLS", "GSSAPI"])
    def test_is_declined_only_once(self, request_: FirstMessage) -> None:
        """A stranger must not keep a connection busy with one question for ever."""
        assert said(fresh(tls_available=False), request_, request_) == [
            DeclineEncryption(),
            Refuse("08P01", "encryption was already asked for"),
        ]


class TestCancel:
    def test_is_taken_in_the_clear(self) -> None:
        """Ctrl-C in psql sends it without TLS, whatever its session uses."""
        assert said(fresh(), CANCEL) == [Cancel(CANCEL)]

    def test_is_taken_under_tls(self) -> None:
        assert said(fresh(), SslRequest(), CANCEL) == [UpgradeToTls(), Cancel(CANCEL)]


class TestUser:
    @pytest.mark.parametrize("parameters", [{}, {"user": ""}, {"database": "ada"}])
    def test_is_required(self, parameters: dict[str, str]) -> None:
        assert fresh(tls_required=False).receive(StartupMessage(0, parameters, ())) == Refuse(
            "28000", "no PostgreSQL user name specified in startup packet"
        )

    @pytest.mark.parametrize("name", ["u" * 512, "\u00e9" * 256])
    def test_may_be_as_long_as_a_stable_name_can_be(self, name: str) -> None:
        startup = StartupMessage(0, {"user": name}, ())
        assert answer(user=name) == Authenticate(startup)

    @pytest.mark.parametrize("name", ["u" * 513, "\u00e9" * 257])
    def test_longer_than_any_name_of_ours_is_refused(self, name: str) -> None:
        assert answer(user=name) == Refuse("28000", "the user name is too long")

    @pytest.mark.parametrize("length", [0, 1])
    def test_may_be_a_ticket_and_no_longer_than_one(self, length: int) -> None:
        name = "ticket." + "A" * (800 + length)
        refused = Refuse("28000", "the user name is too long")
        allowed = Authenticate(StartupMessage(0, {"user": name}, ()))
        assert answer(user=name) == (refused if length else allowed)


class TestLength:
    """PostgreSQL closes without a word when a startup message is longer than 10,000 bytes."""

    def test_leaves_room_for_our_own_words(self) -> None:
        startup = StartupMessage(0, {"user": "ada", "search_path": "x" * 9_713}, ())
        assert fresh(tls_required=False).receive(startup) == Authenticate(startup)
        name = "n" * MAX_NAME_BYTES
        sent = upstream_parameters(startup, user=name, database=name, application=name)
        assert len(encode_startup(sent)) <= MAX_STARTUP_LENGTH

    def test_that_leaves_no_room_is_refused(self) -> None:
        too_long = Refuse("54000", "the startup parameters are too long")
        assert answer(search_path="x" * 9_714) == too_long


class TestReplication:
    @pytest.mark.parametrize("value", ["true", "database", "on", "1", "TRUE", "yes", "t", "", "2"])
    def test_is_refused(self, value: str) -> None:
        """It would read everything, past all that a grant says."""
        assert answer(replication=value) == Refuse(
            "0A000", "replication connections are not available here"
        )

    @pytest.mark.parametrize("value", ["false", "off", "no", "0", "f", "n", "FALSE", "Off"])
    def test_that_is_not_wanted_is_no_reason_to_refuse(self, value: str) -> None:
        assert isinstance(answer(replication=value), Authenticate)


def identity_refused(name: str) -> Refuse:
    return Refuse("42501", f'parameter "{name}" cannot be set at connection start')


class TestIdentity:
    """A session acts as its login: nothing at its start makes it anybody else."""

    @pytest.mark.parametrize("name", ["role", "ROLE", "Role"])
    def test_is_not_a_role_parameter(self, name: str) -> None:
        assert answer(**{name: "owner"}) == identity_refused("role")

    @pytest.mark.parametrize("name", ["session_authorization", "Session_Authorization"])
    def test_is_not_a_session_authorization_parameter(self, name: str) -> None:
        assert answer(**{name: "owner"}) == identity_refused("session_authorization")

    @pytest.mark.parametrize(
        "options",
        [
            "-c role=owner",
            "-crole=owner",
            "--role=owner",
            "-c ROLE=owner",
            "--Role=owner",
            "-c search_path=app -c role=owner",
            "  -c\trole=owner  ",
            "-c\nrole=owner",
            r"-c rol\e=owner",
            r"\-\c\r\o\l\e=owner",
            r"--r\ole=owner",
            "-c role=",
        ],
    )
    def test_is_not_a_role_inside_options(self, options: str) -> None:
        assert answer(options=options) == identity_refused("role")

    @pytest.mark.parametrize(
        "options",
        [
            "-c session_authorization=owner",
            "-csession_authorization=owner",
            "--session_authorization=owner",
            "--session-authorization=owner",
            "-c session-authorization=owner",
            "-c Session-AUTHORIZATION=owner",
            r"-c session\-authorization=owner",
            r"--session\_authorization=owner",
        ],
    )
    def test_is_not_a_session_authorization_inside_options(self, options: str) -> None:
        assert answer(options=options) == identity_refused("session_authorization")

    @pytest.mark.parametrize(
        "options",
        [
            "-ec role=owner",
            "-ecrole=owner",
            "-e-role=owner",
            "-C -c -c role=owner",
            "-c -c role=owner",
            "--application_name=a\x1c-c -c role=owner",
            "--search_path=a\u00a0-c -c role=owner",
            "--search_path=a\u2003-c -c role=owner",
        ],
        ids=[
            "bundled",
            "bundled, one word",
            "bundled with a long one",
            "behind a switch that is ignored",
            "behind a switch that takes the next word",
            "behind a control character",
            "behind a no-break space",
            "behind an em space",
        ],
    )
    def test_does_not_hide_from_us_in_what_postgresql_would_find(self, options: str) -> None:
        """PostgreSQL reads options with getopt, and splits them at ASCII white space only."""
        assert answer(options=options) == identity_refused("role")

    @given(
        bundle=st.text("bEeOPsT", max_size=3),
        switch=st.sampled_from(["c", "-", "c "]),
        name=st.sampled_from(["role", "session_authorization", "session-authorization"]),
        before=st.sampled_from(
            ["", "-c search_path=app ", "-C -c ", "--application_name=x\\ ", "-f "]
        ),
        data=st.data(),
    )
    def test_is_found_however_it_is_written(
        self, bundle: str, switch: str, name: str, before: str, data: st.DataObject
    ) -> None:
        upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
        written = "".join(
            letter.upper() if up else letter for letter, up in zip(name, upper, strict=True)
        )
        assert answer(options=f"{before} -{bundle}{switch}{written}=owner") == identity_refused(
            name.replace("-", "_")
        )

    @pytest.mark.parametrize(
        "options",
        [
            "",
            "-c search_path=app",
            "-c statement_timeout=5s --work-mem=64MB -c geqo=off",
            "-c myapp.role=reader",
            "--myapp.current-role=reader",
            "-c application_name=role",
            r"-c application_name=my\ role=x",
            "-c search_path=role,public",
            "-c default_transaction_read_only=on",
            "--lc-messages=C",
            "\\",
        ],
    )
    def test_is_not_touched_by_ordinary_options(self, options: str) -> None:
        startup = StartupMessage(0, {"user": "ada", "options": options}, ())
        assert answer(options=options) == Authenticate(startup)

    @given(options=st.text())
    def test_is_decided_for_any_text(self, options: str) -> None:
        assert isinstance(answer(options=options), Authenticate | Refuse)


class TestUpstreamParameters:
    def test_are_the_clients_own_as_the_login(self) -> None:
        startup = StartupMessage(
            0,
            {
                "user": "ada",
                "database": "postgres",
                "application_name": "psql",
                "replication": "false",
                "client_encoding": "UTF8",
                "options": "-c search_path=app",
            },
            ("_pq_.new",),
        )
        sent = upstream_parameters(
            startup, user="jit_ada", database="orders", application="a grant"
        )
        assert sent == {
            "user": "jit_ada",
            "database": "orders",
            "application_name": "a grant",
            "client_encoding": "UTF8",
            "options": "-c search_path=app",
        }

    @pytest.mark.parametrize("name", ["application_name", "Application_Name", "APPLICATION_NAME"])
    def test_name_the_application_once_in_our_words(self, name: str) -> None:
        """PostgreSQL would take the last one, in any case."""
        startup = StartupMessage(0, {"user": "ada", name: "nobody"}, ())
        sent = upstream_parameters(
            startup, user="jit_ada", database="orders", application="a grant"
        )
        assert sent == {"user": "jit_ada", "database": "orders", "application_name": "a grant"}


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({"user": "jit_ada"}, "orders"),
        ({"user": "jit_ada", "database": ""}, "orders"),
        ({"user": "jit_ada", "database": "jit_ada"}, "orders"),
        ({"user": "jit_ada", "database": "orders"}, "orders"),
        ({"user": "jit_ada", "database": "payroll"}, "payroll"),
    ],
    ids=["none", "empty", "libpq's default", "the granted one", "another one"],
)
def test_a_client_that_names_no_database_means_the_granted_one(
    parameters: dict[str, str], wanted: str
) -> None:
    assert wanted_database(StartupMessage(0, parameters, ()), granted="orders") == wanted


GRANT_ID = "grt_06g3k2m5n7p9q1r3"


def named(client: str, address: str = "192.0.2.7") -> str:
    startup = StartupMessage(0, {"user": "ada", "application_name": client}, ())
    return application_name(startup, grant_id=GRANT_ID, address=address)


class TestApplicationName:
    """What the target's own log and pg_stat_activity say of a session."""

    def test_begins_with_the_grant_and_the_address(self) -> None:
        assert named("psql") == "grt_06g3k2m5n7p9q1r3 192.0.2.7 psql"

    def test_of_a_client_without_one_is_the_grant_and_the_address(self) -> None:
        assert application_name(ADA, grant_id=GRANT_ID, address="192.0.2.7") == (
            "grt_06g3k2m5n7p9q1r3 192.0.2.7"
        )

    def test_shows_a_question_mark_for_what_postgresql_would_not_take(self) -> None:
        """Bytes are counted after this, so that it is never cut inside a character."""
        assert named("~ caf\u00e9\n\x7f!") == "grt_06g3k2m5n7p9q1r3 192.0.2.7 ~ caf???!"

    @given(
        client=st.text(),
        address=st.builds(IPv4Address, st.integers(0, 2**32 - 1))
        | st.builds(IPv6Address, st.integers(0, 2**128 - 1)),
    )
    def test_always_fits_with_grant_and_address_whole(self, client: str, address: Address) -> None:
        """PostgreSQL cuts at 63 bytes; a client must not push out who it is."""
        name = named(client, str(address))
        assert name.isascii()
        assert len(name) <= MAX_NAME_BYTES == 63
        assert name.split(" ")[:2] == [GRANT_ID, str(address)]
