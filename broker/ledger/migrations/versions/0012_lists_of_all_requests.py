"""All requests, for ever: found by words, and in any order; where one is talked over."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# What separates words where no space does, as in a literal of SQL: ASCII's marks, and the quotes,
# dashes and dots that people paste.
_MARKS = (
    "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"
    "\u00a1\u00ab\u00b7\u00bb\u00bf\u2010\u2011\u2012\u2013\u2014\u2015"
    "\u2018\u2019\u201a\u201c\u201d\u201e\u2022\u2026\u2039\u203a"
)
_ESCAPED = "".join(f"\\{each}" if each in r"[\]^-" else each for each in _MARKS)
_FROM_NEXT_MARK = f"[{_ESCAPED}].*"

STATEMENTS = (
    # Every beginning of a word in each stretch without spaces, up to where that ends, so that
    # alice@example.com is found by alice, by example.com, and as a whole. A stretch is cut after 40
    # characters, as what is looked for is.
    rf"""
    CREATE FUNCTION curfew.words_of(said text) RETURNS tsvector
        LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        marks CONSTANT text := '{_MARKS}';
        rest text;
        found text[] := '{{}}';
    BEGIN
        FOREACH rest IN ARRAY regexp_split_to_array(lower(said), '\s+') LOOP
            rest := rtrim(rest, marks);
            LOOP
                rest := ltrim(rest, marks);
                EXIT WHEN rest = '' OR rest IS NULL;
                found := found || left(rest, 40);
                rest := substring(rest FROM '{_FROM_NEXT_MARK}');
            END LOOP;
        END LOOP;
        RETURN array_to_tsvector(found);
    END $$
    """,
    # The same cutting, of what somebody looks for: each word as a prefix, and all of them.
    rf"""
    CREATE FUNCTION curfew.words_sought(words text[]) RETURNS tsquery
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT string_agg('''' || replace(replace(word, '\', '\\'), '''', '''''') || ''':*', ' & ')
               ::tsquery
          FROM unnest(words) AS sought,
               left(btrim(lower(sought), '{_MARKS}'), 40) AS word
         WHERE word <> ''
    $$
    """,  # noqa: S608  (constant text)
    "ALTER TABLE curfew.requests ADD conversation text "
    "CHECK (conversation LIKE 'https://%' AND length(conversation) <= 2000)",
    "ALTER TABLE curfew.requests ADD person_email text",
    "ALTER TABLE curfew.requests ADD words tsvector",
    # Names as they were when somebody asked; an address never changes.
    """
    CREATE FUNCTION curfew.make_findable() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        person record;
        requester record;
    BEGIN
        SELECT email, name INTO person FROM curfew.people WHERE id = NEW.person_id;
        SELECT email, name INTO requester FROM curfew.people WHERE id = NEW.requester_id;
        NEW.person_email := person.email;
        NEW.words := curfew.words_of(concat_ws(' ', person.email, person.name, requester.email,
            requester.name, NEW.target, NEW.database, NEW.role, NEW.reason));
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER findable BEFORE INSERT ON curfew.requests
        FOR EACH ROW EXECUTE FUNCTION curfew.make_findable()
    """,
    """
    UPDATE curfew.requests r
       SET person_email = p.email,
           words = curfew.words_of(concat_ws(' ', p.email, p.name, a.email, a.name, r.target,
               r.database, r.role, r.reason))
      FROM curfew.people p, curfew.people a
     WHERE p.id = r.person_id AND a.id = r.requester_id
    """,
    "ALTER TABLE curfew.requests ALTER person_email SET NOT NULL, ALTER words SET NOT NULL",
    # Who waits for a page of a list waits for no other writer's cleaning up.
    "CREATE INDEX requests_by_word ON curfew.requests USING gin (words) WITH (fastupdate = off)",
    # What somebody may see is one of these, or several merged.
    "CREATE INDEX requests_under_policy ON curfew.requests (policy, id)",
    "CREATE INDEX requests_of_managed ON curfew.requests (person_manager, id) "
    "WHERE person_manager IS NOT NULL",
    "CREATE INDEX requests_escalated ON curfew.requests (policy, id) "
    "WHERE escalated_at IS NOT NULL",
    # By something, and among the same by age, the newest first; backwards, the other way round.
    "CREATE INDEX requests_by_target ON curfew.requests (target, id DESC)",
    "CREATE INDEX requests_by_role ON curfew.requests (role, id DESC)",
    # A role is often one target's alone, so what is sorted by one and found by the other is in a
    # single place of the order, which no walk would come to.
    "CREATE INDEX requests_of_target_by_role ON curfew.requests (target, role, id DESC)",
    "CREATE INDEX requests_of_role_by_target ON curfew.requests (role, target, id DESC)",
    "CREATE INDEX requests_by_person ON curfew.requests (person_email, id DESC)",
    "CREATE INDEX requests_by_state ON curfew.requests (state, id DESC)",
    "CREATE INDEX requests_by_duration ON curfew.requests (duration, id DESC)",
    "CREATE INDEX requests_by_end ON curfew.requests "
    "(coalesce(closed_at, 'infinity'::timestamptz), id DESC)",
    # Of grants and sessions nearly all are over.
    "CREATE INDEX grants_living ON curfew.grants (id) WHERE state <> 'ended'",
    "CREATE INDEX sessions_living ON curfew.sessions (id) WHERE ended_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
