"""Secrets within statements never get into what is kept, whatever the statement looks like."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.sql.masking import mask, may_hold_secret
from broker.sql.secret_words import BY_LOOKS, WORD

CORE = "Zq7Xk9Wv"
_LEAK = CORE[:4].lower().encode()

# Statements around a secret in quotes. What is between {} may be cut, commented, and in any case.
IN_QUOTES = (
    "ALTER ROLE ann PASSWORD {}",
    "alter user ann with login encrypted password {} valid until '2030-01-01'",
    "CREATE GROUP g PASSWORD {}; SELECT 1",
    'SELECT 1; CREATE ROLE "Password" IN ROLE a PASSWORD {}',
    "CREATE USER MAPPING FOR ann SERVER s OPTIONS (user 'ann', pin {})",
    "ALTER SERVER s OPTIONS (SET secret_access_key {})",
    "CREATE SUBSCRIPTION s CONNECTION {} PUBLICATION p",
    "ALTER SUBSCRIPTION s CONNECTION {}",
    "ALTER SYSTEM SET primary_conninfo = {}",
    "SET app.password TO {}",
    "SET SESSION app.api_key = {}, 'b'",
    "SELECT set_config('app.secret', {}, false)",
    "ALTER ROLE ann SET app.password = {}",
    "CREATE FUNCTION f() RETURNS int SET app.secret = {} AS 'select 1' LANGUAGE sql",
    "INSERT INTO users (name, password) VALUES ('ann', {}), ('bob', 'x')",
    "UPDATE users SET pwd = {} WHERE id = 5",
    'UPDATE users SET "passWord" = ({}) WHERE id = 5',
    "SELECT * FROM users WHERE password_hash IN ('a', {})",
    "SELECT {} AS password",
    'SELECT {}::text::varchar(20) AS "the secret"',
    "SELECT * FROM u WHERE {} = u.password",
    "SELECT pgp_sym_encrypt(data, {}) FROM t",
    "SELECT crypt({}, gen_salt('bf'))",
    "SELECT digest(a || {}, 'sha256'), hmac(a, {}, 'md5')",
    "SELECT dblink_connect('c', {})",
    "SELECT * FROM dblink({}, 'SELECT 1') AS t (a int)",
    "SELECT aws_commons.create_aws_credentials('id', {}, '')",
    "SELECT azure_storage.account_add('name', {})",
    "COPY t FROM 's3://b/k' CREDENTIALS {}",
    "DO $x$ DECLARE p text := {}; BEGIN EXECUTE format('ALTER ROLE a PASSWORD %L', p); END $x$",
    "DO LANGUAGE plpgsql $x$ BEGIN ALTER ROLE a PASSWORD {}; END $x$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $x$ ALTER ROLE a PASSWORD {} $x$",
    "SELECT format('ALTER ROLE a PASSWORD %L', {})",
    "EXECUTE login (5, 'password', {})",
    "CALL set_password({})",
    "CREATE USER 'ann'@'%' IDENTIFIED BY {}",
    "ALTER ROLE ann PASSWORD = {}",
    "ALTER ROLE ann PASSWORD is {}",
)
# Statements around a text that has a secret in it, and goes between quotes.
WITHIN = (
    "host=db password={} user=ann",
    "host=db password = '{}' user=ann",
    "postgres://ann:{}@db/orders",
    "postgresql://db/orders?user=ann&password={}",
    "https://ann:{}@example.com/x",
    'ALTER ROLE ann PASSWORD "{}"',
    "aws_access_key_id=A;aws_secret_access_key={}",
    "SharedAccessSignature={}",
    "Authorization: Bearer {}",
)
BARE = (
    "ALTER ROLE ann PASSWORD {}",
    'ALTER ROLE ann PASSWORD "{}"',
    "SET app.password = {}",
    "SET app.password TO {}",
    "SELECT * FROM users WHERE password = {}",
    'SELECT * FROM users WHERE password = "{}"',
    "SELECT dblink(host=db password={})",
    "-- password {}",
    "-- host=db password={}\nSELECT 1",
    "SELECT 1 /* the password is {} */",
    "SELECT 1 /* PASSWORD '{}' /* nested */ */",
    "\\connect postgres://ann:{}@db/orders",
)


def _plain(secret: str) -> str:
    return "'" + secret.replace("'", "''") + "'"


def _escaping(secret: str) -> str:
    return "E'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _unicode(secret: str) -> str:
    return "U&" + _plain(secret.replace("\\", "\\\\")) + " UESCAPE '!'"


def _dollars(secret: str) -> str:
    return f"$${secret}$$".replace("$$$", "$ $$") if "$$" not in secret else _plain(secret)


def _tagged(secret: str) -> str:
    return f"$tag${secret}$tag$"


def _national(secret: str) -> str:
    return "N" + _plain(secret)


def _continued(secret: str) -> str:
    return "'a' -- it goes on\n  " + _plain(secret)


def _continued_escaping(secret: str) -> str:
    return "e'\\''\n" + _escaping(secret)[1:]


QUOTES = (
    _plain,
    _escaping,
    _unicode,
    _dollars,
    _tagged,
    _national,
    _continued,
    _continued_escaping,
)
junk = st.text("'\\\"$;-/*@ \n\tabüé()=,", max_size=4)
secrets = st.builds(lambda before, after: before + CORE + after, junk, junk)
spaces = st.sampled_from((" ", "\n", " /* c */ ", " -- c\n ", " /* 'it''s' /* n */ */ ", "\t\r\n"))
cases = st.sampled_from((str, str.lower, str.upper, str.swapcase))


def _written(template: str, filled: str, space: str, case: object) -> str:
    assert callable(case)
    before, *rest = template.split("{}")
    pieces = [before, *rest]
    return filled.join(case(piece).replace(" ", space) for piece in pieces)


def _leaks(text: bytes) -> bool:
    kept = mask(text)
    return _LEAK in (text if kept is None else kept).lower()


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(IN_QUOTES), st.sampled_from(QUOTES), secrets, spaces, cases)
def test_a_secret_in_any_quotes_is_never_kept(
    template: str, quoted: object, secret: str, space: str, case: object
) -> None:
    assert callable(quoted)
    assert not _leaks(_written(template, quoted(secret), space, case).encode())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(IN_QUOTES), st.sampled_from(QUOTES), secrets, spaces)
def test_nor_is_any_of_it_however_the_text_is_cut(
    template: str, quoted: object, secret: str, space: str
) -> None:
    """Unless what tells that it is a secret comes after it, and is cut off."""
    assert callable(quoted)
    text = _written(template, quoted(secret), space, str).encode()
    word = WORD.search(text.lower()) or BY_LOOKS.search(text.lower())
    start = text.find(CORE.encode())
    told = word is not None and word.end() <= start
    for end in range(start + 4, len(text)) if told else ():
        assert not _leaks(text[:end]), text[:end]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(WITHIN), st.sampled_from(QUOTES), st.sampled_from(("", "ü", "_x")), cases)
def test_a_secret_within_a_longer_string_is_never_kept(
    template: str, quoted: object, more: str, case: object
) -> None:
    assert callable(quoted)
    assert callable(case)
    inner = CORE.join(case(each) for each in template.split("{}")) + more
    text = f"SELECT f(1, {quoted(inner)}, 'x') FROM t".encode()
    start = text.find(CORE.encode())
    for end in range(start + 4, len(text) + 1):
        assert not _leaks(text[:end]), text[:end]


@pytest.mark.parametrize("template", BARE)
def test_nor_is_one_that_forgot_its_quotes_or_stands_in_a_comment(template: str) -> None:
    text = template.format(CORE).encode()
    for end in range(text.find(CORE.encode()) + 4, len(text) + 1):
        assert not _leaks(text[:end]), text[:end]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "ALTER ROLE a PASSWORD 'x' VALID UNTIL '2030-01-01'",
            "ALTER ROLE a PASSWORD '********' VALID UNTIL '2030-01-01'",
        ),
        (
            "UPDATE users SET password = 'x' WHERE id = 5; SELECT 'y'",
            "UPDATE users SET password = '********' WHERE id = 5; SELECT 'y'",
        ),
        ("SELECT 'a' AS b, 'x' AS password", "SELECT 'a' AS b, '********' AS password"),
        (
            "SELECT * FROM u WHERE mail = 'a' AND password IS NULL",
            None,
        ),
        (
            "UPDATE u SET pin_password = 1234 WHERE id = 5",
            "UPDATE u SET pin_password = '********' WHERE id = 5",
        ),
        (
            "SELECT * FROM u WHERE password IN (12, 34) AND a = 5",
            "SELECT * FROM u WHERE password IN ('********', '********') AND a = 5",
        ),
        (
            "SELECT set_config('app.password', 'x', false)",
            "SELECT set_config('app.password', '********', false)",
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=a' PUBLICATION p WITH (slot_name = 'q')",
            "CREATE SUBSCRIPTION s CONNECTION '********' PUBLICATION p WITH (slot_name = 'q')",
        ),
        (
            "DO $$ BEGIN ALTER ROLE a PASSWORD 'x'; END $$; SELECT 'y'",
            "DO $$ BEGIN ALTER ROLE a PASSWORD '********'; END $$; SELECT 'y'",
        ),
        (
            "SELECT 'md5" + "0" * 32 + "'",
            "SELECT '********'",
        ),
        (
            "SELECT 'SCRAM-SHA-256$4096:salt$key:key', 'a'",
            "SELECT '********', 'a'",
        ),
    ],
)
def test_the_rest_of_the_statement_stays_readable(text: str, kept: str | None) -> None:
    masked = mask(text.encode())
    assert (masked.decode() if masked is not None else None) == kept


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 'it''s' FROM t",
        "ALTER ROLE a PASSWORD NULL",
        "ALTER USER a PASSWORD",
        "UPDATE users SET password = $1 WHERE id = $2",
        "UPDATE users SET password = NULL",
        "SELECT password FROM users",
        "SELECT * FROM a JOIN b ON a.password = b.password",
        "SET password_encryption = 'scram-sha-256'",
        "CREATE EXTENSION pgcrypto",
        "CREATE TABLE users (name text, password text NOT NULL)",
        "ALTER DATABASE d CONNECTION LIMIT 5",
        "CREATE TABLE t (key int PRIMARY KEY)",
        "SELECT 'http://example.com:80/x'",
        "",
    ],
)
def test_what_holds_no_secret_is_left_alone(text: str) -> None:
    assert mask(text.encode()) is None


@given(
    st.text("paswordkeyt_PW'\"-/* \n$;(", max_size=40),
    st.sampled_from([b"", b"\xff", b"\0", b"\xc3"]),
)
@example("password '", b"\xff")
def test_nothing_makes_it_fail(text: str, more: bytes) -> None:
    mask(text.encode() + more)
    mask(more + text.encode())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # By a setting of the session, the first string ends before the semicolon or after it.
        (
            b"SELECT 'a\\' '; ALTER ROLE a PASSWORD 'x'; SELECT 'y'",
            b"SELECT 'a\\' '********'y'********'",
        ),
        (b"SELECT 'x\\' AS password", b"SELECT '********'"),
        # In GBK the backslash is half of a character, and the quote after it ends the string.
        (b"SELECT 'a', E'\xa8\\', 'x' AS pwd", b"SELECT 'a', E'\xa8\\', '********'"),
    ],
)
def test_what_may_be_read_in_two_ways_is_masked_in_both(text: bytes, kept: bytes) -> None:
    assert mask(text) == kept


@given(st.sampled_from(sorted({*IN_QUOTES, *WITHIN, *BARE})), cases)
def test_the_quick_look_misses_nothing_that_is_masked(template: str, case: object) -> None:
    assert callable(case)
    assert may_hold_secret(case(template.replace("{}", "'x'")).encode())


def test_of_a_long_text_that_may_hold_secrets_the_rest_is_left_out() -> None:
    """To read all of it would make others wait."""
    padding = b"SELECT 'harmless';\n" * 4_000
    masked = mask(padding + b"ALTER ROLE ann PASSWORD 'hunter2'; SELECT 'x' AS password")
    assert masked is not None
    assert masked.startswith(padding[:60_000])
    assert masked.endswith("… (the rest is left out, as secrets may be in it)".encode())
    assert len(masked) < 65_536
    assert mask(padding) is None
