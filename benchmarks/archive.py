"""A ledger with the requests of five years: by thousands of people, for hundreds of roles, with
what was decided about them, and what was given. Few are pending, and most grants are over.

Made by SQL, always the same. People, roles, policies and words are used as they are everywhere:
some much, most little, and a few only for a while.
"""

from dataclasses import dataclass

import asyncpg

_PEOPLE = 5_000
_TARGETS = 200
POLICIES = 40
NEWCOMER = "person.5000@example.com"
"""Has three requests."""

_INDEXES = """
    SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid IN ('curfew.requests'::regclass, 'curfew.grants'::regclass,
                          'curfew.decisions'::regclass, 'curfew.sessions'::regclass)
       AND NOT i.indisunique
"""
# `typed_id` as broker.domain.ids makes them; `some` picks an element, the first ones mostly.
_TOOLS = """
    CREATE FUNCTION pg_temp.base32(value bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz',
                                 ((value >> (5 * (7 - place))) & 31)::integer + 1, 1), ''
                          ORDER BY place)
          FROM generate_series(0, 7) AS place
    $$;
    CREATE FUNCTION pg_temp.typed_id(kind text, at timestamptz, salt bigint) RETURNS text
        LANGUAGE sql IMMUTABLE AS $$
        SELECT kind || '_' || pg_temp.base32(ms >> 8)
               || pg_temp.base32(((ms & 255) << 32) | (hashint8extended(salt, 7) & 4294967295))
          FROM CAST(floor(extract(epoch FROM at) * 1000) AS bigint) AS ms
    $$;
    CREATE FUNCTION pg_temp.some(words text[], chance double precision) RETURNS text
        LANGUAGE sql IMMUTABLE AS $$
        SELECT words[1 + floor(array_length(words, 1) * chance * chance)::integer]
    $$
"""
_VERBS = "check fix repair compare export look clean backfill verify reproduce"
_NOUNS = (
    "orders invoices customers totals refunds payments reports addresses prices "
    "stocks shipments accounts balances taxes vouchers carts returns labels contracts ledgers"
)
_PROJECTS = "heron osprey kestrel merlin harrier goshawk buzzard kite falcon eagle"

_WORDS = (_VERBS.split(), _NOUNS.split(), _PROJECTS.split())

_FILL_PEOPLE = f"""
    INSERT INTO curfew.people (id, email, name, created_at, handle, kind)
    SELECT 'per_' || lpad(n::text, 16, '0'), 'person.' || lpad(n::text, 4, '0') || '@example.com',
           'Person ' || n, now() - interval '6 years', 'person.' || n, 'human'
      FROM generate_series(0, {_PEOPLE}) AS n
"""
_FILL_REQUESTS = f"""
    WITH drawn AS MATERIALIZED (
        SELECT n, random() AS who, random() AS other, random() AS what, random() AS which,
               random() AS policy, random() AS state, random() AS verb, random() AS noun,
               random() AS noun_2, random() AS ticket, random() AS long, random() AS wait,
               now() - interval '5 years' * (1 - (n / $1::double precision) ^ 0.7)
                     - interval '1 minute' AS at
          FROM generate_series(1, $1::bigint) AS n
    ), made AS (
        SELECT d.*, CASE WHEN n % ($1 / 3) = 0 THEN {_PEOPLE}
                    ELSE floor({_PEOPLE} * who * who * who)::integer END AS person,
               'target-' || lpad((floor({_TARGETS} * what * what)::integer * 37 % {_TARGETS})::text,
                                 3, '0') AS target,
               CASE WHEN which < 0.7 THEN 'reader' WHEN which < 0.95 THEN 'writer'
                    ELSE 'owner' END AS role,
               CASE WHEN n > $1 - 2000 AND state < 0.5 THEN 'pending'
                    WHEN state < 0.82 THEN 'approved' WHEN state < 0.89 THEN 'denied'
                    WHEN state < 0.94 THEN 'cancelled' ELSE 'lapsed' END AS becomes
          FROM drawn d
    ), asked AS (
        SELECT m.*, CASE WHEN other < 0.05 THEN floor({_PEOPLE} * other * 20)::integer
                         ELSE person END AS requester,
               concat_ws(' ',
                   upper(left(pg_temp.some($3, noun), 3)) || '-' || floor(ticket * 90000 + 1000)
                   || ':',
                   pg_temp.some($2, verb), pg_temp.some($3, noun_2), 'of',
                   pg_temp.some($3, noun),
                   CASE WHEN long < 0.3 THEN 'for project ' || ($4::text[])[
                        1 + floor(n / ($1 / 10.0 + 1))::integer] END,
                   CASE WHEN long < 0.001 THEN 'quetzal' END) AS reason
          FROM made m
    )
    INSERT INTO curfew.requests (id, requester_id, person_id, person_manager, target, database,
        role, duration, reason, source, policy, state, created_at, lapses_at, closed_at, kind,
        networks, person_email, words, person_groups, why, escalated_at)
    SELECT pg_temp.typed_id('req', at, n), 'per_' || lpad(requester::text, 16, '0'),
           'per_' || lpad(person::text, 16, '0'),
           'person.' || lpad((person / 8)::text, 4, '0') || '@example.com',
           target, replace(target, '-', '_'), replace(target, '-', '_') || '_' || role,
           (ARRAY[1, 1, 1, 2, 4, 8, 24])[1 + floor(wait * 7)::integer] * interval '1 hour', reason,
           '10.1.' || (n % 250) || '.7', 'policy-' || lpad(floor({POLICIES} * policy ^ 3)::text,
           2, '0'), becomes, at, at + interval '24 hours',
           CASE WHEN becomes <> 'pending' THEN at + interval '3 hours' * wait END, 'login', '{{}}',
           'person.' || lpad(person::text, 4, '0') || '@example.com',
           curfew.words_of(concat_ws(' ',
               'person.' || lpad(person::text, 4, '0') || '@example.com', 'Person ' || person,
               'person.' || lpad(requester::text, 4, '0') || '@example.com',
               'Person ' || requester, target, replace(target, '-', '_'),
               replace(target, '-', '_') || '_' || role, reason)),
           ARRAY['developers', 'team-' || person % 50], ARRAY['asked in time'],
           CASE WHEN long > 0.998 THEN at + interval '5 minutes' END
      FROM asked ORDER BY n
"""
_FILL_DECISIONS = """
    INSERT INTO curfew.decisions (id, request_id, decider_id, verdict, comment, decided_at)
    SELECT 'dec_' || substr(id, 5), id, 'per_' || lpad((hashtext(id) & 127)::text, 16, '0'),
           CASE state WHEN 'approved' THEN 'approval' ELSE 'denial' END, '', closed_at
      FROM curfew.requests WHERE state IN ('approved', 'denied')
"""
_FILL_GRANTS = """
    INSERT INTO curfew.grants (id, request_id, person_id, target, database, role, state,
        granted_at, expires_at, duration, end_reason, ended_at, kind, networks)
    SELECT 'grt_' || substr(id, 5), id, person_id, target, database, role,
           CASE WHEN closed_at + duration < now() THEN 'ended' ELSE 'active' END,
           closed_at, closed_at + duration, duration,
           CASE WHEN closed_at + duration < now() THEN 'expired' END,
           CASE WHEN closed_at + duration < now() THEN closed_at + duration END, kind, networks
      FROM curfew.requests WHERE state = 'approved'
"""
_FILL_SESSIONS = """
    INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, client_application,
        started_at, ended_at, end_reason, bytes_from_client, bytes_to_client)
    SELECT 'ses_' || substr(id, 5), id, 'wrk_1', '10.1.1.7', 'psql', granted_at,
           granted_at + interval '9 minutes', 'client left', 1000, 100000
      FROM curfew.grants WHERE state = 'ended'
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """How many rows there are now."""

    requests: int
    decisions: int
    grants: int
    sessions: int


async def fill(db: "asyncpg.Connection[asyncpg.Record]", count: int) -> Filled:
    """Put `count` requests into an empty ledger, as a superuser."""
    await db.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    await db.execute("SET maintenance_work_mem = '512MB'; SELECT setseed(0.42)")
    await db.execute(_TOOLS)
    indexes = await db.fetch(_INDEXES)
    for each in indexes:
        await db.execute(f"DROP INDEX curfew.{each['name']}")
    await db.execute(_FILL_PEOPLE)
    made = [
        await db.execute(_FILL_REQUESTS, count, *_WORDS, timeout=1800),
        await db.execute(_FILL_DECISIONS, timeout=1800),
        await db.execute(_FILL_GRANTS, timeout=1800),
        await db.execute(_FILL_SESSIONS, timeout=1800),
    ]
    for each in indexes:
        await db.execute(each["definition"], timeout=1800)
    # What autovacuum would have done long ago.
    await db.execute("VACUUM (ANALYZE)", timeout=1800)
    await db.execute("CHECKPOINT", timeout=1800)
    return Filled(*(int(each.rpartition(" ")[2]) for each in made))
