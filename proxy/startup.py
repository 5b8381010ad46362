"""A client's first messages → what to do about them. Pure; `opening.py` and `session.py` obey.

What the login may SET by itself may also come at startup: everything is applied by PostgreSQL with
the login's own rights, never with anybody else's. Only what would change who acts, or what kind of
connection it is, is refused here.
"""

import re
from dataclasses import dataclass
from typing import assert_never

from broker.domain.ticket import is_ticket_name
from proxy.wire.framing import MAX_STARTUP_LENGTH
from proxy.wire.messages import (
    CancelRequest,
    FirstMessage,
    GssEncRequest,
    SslRequest,
    StartupMessage,
    encode_startup,
)

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1
MAX_USER_BYTES = 512  # a stable name holds an e-mail address at the most, a target and a role
# Room for what the target is told in other words than the client's: three names, with their keys.
_OUR_WORDS_BYTES = 256
_FALSE = ("false", "off", "no", "0", "f", "n")
_IDENTITY_SETTINGS = ("role", "session_authorization")
# A word of `options` that may name one of them. PostgreSQL reads the words with getopt, for which
# `-ec role=x`, `-ecrole=x` and `-C -c -c role=x` all hold `-c role=x`; so the word counts whatever
# comes before it, and behind any bundle of switches. A dash in a name is an underscore.
_IDENTITY_WORD = re.compile(
    r"(?:-[a-z]*[c-])?(role|session[-_]authorization)=", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class UpgradeToTls:
    """Answer 'S', then shake hands."""


@dataclass(frozen=True, slots=True)
class DeclineEncryption:
    """Answer 'N'; the client goes on in the clear or leaves."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    startup: StartupMessage


@dataclass(frozen=True, slots=True)
class Cancel:
    request: CancelRequest


@dataclass(frozen=True, slots=True)
class Refuse:
    sqlstate: str
    message: str
    hint: str | None = None


Command = UpgradeToTls | DeclineEncryption | Authenticate | Cancel | Refuse


class Startup:
    """The state of one connection before authentication."""

    def __init__(self, *, tls_available: bool, tls_required: bool) -> None:
        self._tls_available = tls_available
        self._tls_required = tls_required
        self._encrypted = False
        self._asked: set[type] = set()

    def receive(self, message: FirstMessage) -> Command:
        match message:
            case CancelRequest():
                # Old clients send it in the clear even for a session under TLS.
                return Cancel(message)
            case SslRequest() | GssEncRequest() if self._encrypted:
                return Refuse("08P01", "this connection is already encrypted")
            case SslRequest() | GssEncRequest() if type(message) in self._asked:
                return Refuse("08P01", "encryption was already asked for")
            case SslRequest():
                self._asked.add(SslRequest)
                if not self._tls_available:
                    return DeclineEncryption()
                self._encrypted = True
                return UpgradeToTls()
            case GssEncRequest():
                self._asked.add(GssEncRequest)
                return DeclineEncryption()
            case StartupMessage() if self._tls_required and not self._encrypted:
                return Refuse(
                    "28000", "this server requires TLS", "connect with sslmode=verify-full"
                )
            case StartupMessage():
                return _check(message)
            case _:
                assert_never(message)

    def encrypted_from_the_start(self) -> None:
        """The client began with a TLS handshake (sslnegotiation=direct)."""
        self._encrypted = True


def _check(startup: StartupMessage) -> Command:
    parameters = startup.parameters
    user = parameters.get("user", "")
    if not user:
        return Refuse("28000", "no PostgreSQL user name specified in startup packet")
    if len(user.encode()) > MAX_USER_BYTES and not is_ticket_name(user):
        return Refuse("28000", "the user name is too long")
    if len(encode_startup(parameters)) > MAX_STARTUP_LENGTH - _OUR_WORDS_BYTES:
        # PostgreSQL would close without a word, as if it were down.
        return Refuse("54000", "the startup parameters are too long")
    if parameters.get("replication", "false").lower() not in _FALSE:
        return Refuse("0A000", "replication connections are not available here")
    named = {name.lower() for name in parameters} | _named_in_options(parameters.get("options", ""))
    for name in _IDENTITY_SETTINGS:
        if name in named:
            return Refuse("42501", f'parameter "{name}" cannot be set at connection start')
    return Authenticate(startup)


def _named_in_options(options: str) -> set[str]:
    """Return which identity settings the command-line switches in `options` name."""
    found = (_IDENTITY_WORD.match(word) for word in _split_options(options))
    return {match[1].lower().replace("-", "_") for match in found if match}


def _split_options(options: str) -> list[str]:
    """Split at ASCII white space, as isspace() knows it; a backslash keeps the next character
    (PostgreSQL's pg_split_opts)."""
    words = re.findall(r"(?:\\.|[^\s\\])+", options, re.ASCII | re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in words]


def upstream_parameters(
    startup: StartupMessage, *, user: str, database: str, application: str
) -> dict[str, str]:
    """Return the startup parameters for the target: the client's own as the login."""
    ours = {"user", "database", "application_name", "replication"}
    # In any case: "Application_Name" would be set after ours, and win.
    passed = {name: value for name, value in startup.parameters.items() if name.lower() not in ours}
    return {"user": user, "database": database, "application_name": application, **passed}


def wanted_database(startup: StartupMessage, *, granted: str) -> str:
    """Return the database that the client means. Clients that name none send their user name."""
    named = startup.parameters.get("database", "")
    return granted if named in ("", startup.parameters["user"]) else named


def application_name(startup: StartupMessage, *, grant_id: str, address: str) -> str:
    """Return what pg_stat_activity and the target's log show: grant, address, then the client's
    own name as far as it fits."""
    return f"{grant_id} {address} {client_name(startup)}".strip()[:MAX_NAME_BYTES]


def client_name(startup: StartupMessage) -> str:
    """Return what the client calls itself, fit for terminals and logs (as PostgreSQL does it)."""
    name = startup.parameters.get("application_name", "")
    return "".join(char if " " <= char <= "~" else "?" for char in name)[:MAX_NAME_BYTES]
