"""What everybody may do on the server, how passwords are kept, and what it writes down itself."""

from collections.abc import Iterator

from broker.domain.doctor.facts import TargetFacts
from broker.domain.doctor.finding import Finding, blocks, note, risk, some
from broker.domain.sqltext import ident


def check_public(facts: TargetFacts) -> Iterator[Finding]:
    yield from _check_privileges(facts)
    yield from _check_event_triggers(facts)
    yield from _check_passwords(facts)
    yield note(
        "log-statement",
        f"log_statement is {facts.log_statement}: "
        + (
            "the server's own log names no statements"
            if facts.log_statement == "none"
            else "the server's own log has statements too, with what they contain"
        ),
    )


def _check_privileges(facts: TargetFacts) -> Iterator[Finding]:
    if facts.public_creates:
        yield risk(
            "public-create",
            f"everybody may make objects in schema public of database {facts.database}: logins "
            "too, for others to stumble over",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
    if facts.public_definers:
        yield risk(
            "public-definer",
            f"everybody may call functions that act as a superuser: {some(facts.public_definers)}",
            *(
                f"REVOKE EXECUTE ON ROUTINE {function} FROM PUBLIC"
                for function in facts.public_definers
            ),
        )
    if facts.public_databases:
        yield note(
            "public-connect",
            f"everybody may connect to, or make temporary tables in, {some(facts.public_databases)}"
            ": a login for one database gets into these too. Grant CONNECT to those who need it "
            "before you take it from PUBLIC",
            *(
                f"REVOKE CONNECT, TEMPORARY ON DATABASE {ident(name)} FROM PUBLIC"
                for name in facts.public_databases
            ),
        )


def _check_event_triggers(facts: TargetFacts) -> Iterator[Finding]:
    for trigger in facts.event_triggers:
        yield blocks(
            "event-trigger",
            f"event trigger {trigger.name} runs {trigger.function} of {trigger.owner} in the "
            "session of whoever does DDL, the broker's too: so that nobody acts with the broker's "
            "rights, it does none there, and a login that owns something stays. Let a superuser "
            "own the function, or drop the trigger",
            f"ALTER FUNCTION {trigger.function} OWNER TO CURRENT_USER",
        )


def _check_passwords(facts: TargetFacts) -> Iterator[Finding]:
    if facts.password_encryption != "scram-sha-256":  # noqa: S105  (a method)
        yield note(
            "password-encryption",
            f"password_encryption is {facts.password_encryption}: new passwords are kept in a "
            "form that is easily guessed from, and that logs in when stolen",
            "ALTER SYSTEM SET password_encryption = 'scram-sha-256'",
            "SELECT pg_reload_conf()",
        )
    if facts.md5_roles is None:
        yield note(
            "no-password-marks",
            "a login that changes its own password is noticed only when its keys no longer work, "
            "and MD5 passwords are not seen at all: curfew.password_marks() is missing, which "
            "pgcurfew bootstrap makes when a superuser runs it",
        )
    elif facts.md5_roles:
        yield note(
            "md5-passwords",
            f"the passwords of {some(facts.md5_roles)} are kept as MD5 hashes, which log in when "
            "stolen: let these roles set them anew",
        )
